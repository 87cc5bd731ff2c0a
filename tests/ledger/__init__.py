"""Tests of src/ledger."""
