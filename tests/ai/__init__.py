"""Tests of src/ai."""
