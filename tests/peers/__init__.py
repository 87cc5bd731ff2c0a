"""The service with other people's programs. `make test-peers` installs and runs them; most need Node."""
