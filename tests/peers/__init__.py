"""The service beside programs that nobody here wrote: `make test-peers`, which needs Node."""
