"""What becomes a folder of `src`."""
