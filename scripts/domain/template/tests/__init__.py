"""What becomes a folder of `tests`."""
