"""Tests that take minutes: load, faults and floods against the server as it is deployed. `make chaos` runs them."""
