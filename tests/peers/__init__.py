"""The service beside programs that nobody here wrote. `make test-peers` installs and runs them; most need Node."""
