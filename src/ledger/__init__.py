"""One order for every change, which anyone can follow and check."""
