"""Tests that take minutes: load, faults and floods against the server as it is deployed. `make chaos` runs them."""

from tests import programs

# As it is deployed, its start and its memory too.
programs.CAN_FORK = False
