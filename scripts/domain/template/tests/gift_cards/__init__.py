"""Tests of src/gift_cards."""
