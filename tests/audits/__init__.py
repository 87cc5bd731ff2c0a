"""Tests of src/audits."""
