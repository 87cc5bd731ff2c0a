"""Tests of scripts/postgres.py."""
