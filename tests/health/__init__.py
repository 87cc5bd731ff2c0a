"""Tests of src/health."""
