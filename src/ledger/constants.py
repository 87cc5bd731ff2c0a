"""The paths, limits and states of the ledger domain."""

from enum import StrEnum

from src.config import API_PREFIX

PATH = f"{API_PREFIX}/ledger"

MAX_WAIT_SECONDS = 20
HEARTBEAT_SECONDS = 15
# Revisions that one transaction of the sealer takes. 2,000 take it some 50 ms.
SEALED_AT_ONCE = 2_000
# Seconds after which what is not sealed is late.
BEHIND_AFTER_SECONDS = 10
# How many unsealed revisions are looked at to find the oldest.
UNSEALED_LOOKED_AT = 1_000


class LedgerState(StrEnum):
    OK = "ok"
    # Revisions wait for longer than usual to be sealed.
    BEHIND = "behind"
    # The database is a copy: nothing is sealed or signed until the operator says what it is to be.
    CLONED = "cloned"
    # Somebody else knows a larger or another tree.
    FORKED = "forked"


class WitnessState(StrEnum):
    # It has not been asked yet.
    WAITING = "waiting"
    OK = "ok"
    UNAVAILABLE = "unavailable"
    # It answers, and signs nothing.
    REFUSED = "refused"
    FORKED = "forked"
