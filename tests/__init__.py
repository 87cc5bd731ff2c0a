"""The tests, laid out as `src` is."""
