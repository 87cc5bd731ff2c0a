"""Whether the process runs, and whether it can serve requests."""
