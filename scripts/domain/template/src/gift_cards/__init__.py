"""Gift cards, to create, list, read, change and remove."""
