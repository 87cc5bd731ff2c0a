"""The states and the time limit of the health checks."""

from enum import StrEnum

# Probes usually give up after one second, which is also Kubernetes' default.
DEADLINE_SECONDS = 0.8


class State(StrEnum):
    OK = "ok"
    # It serves, but somebody has to look: the ledger is forked.
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


class DatabaseState(StrEnum):
    OK = "ok"
    # For example a standby. Reads would work, but the service must be able to add to the trail.
    READ_ONLY = "read_only"
    # A pooler, or the schema, keeps the service from working correctly; `detail` says how.
    MISCONFIGURED = "misconfigured"
    UNAVAILABLE = "unavailable"


class MigrationState(StrEnum):
    OK = "ok"
    MISSING = "missing"
    BEHIND = "behind"
    # A newer release has migrated the database. This one still serves, as is usual during a rolling deployment.
    AHEAD = "ahead"
    UNKNOWN = "unknown"


class AIState(StrEnum):
    CONFIGURED = "configured"
    NOT_CONFIGURED = "not_configured"


class LedgerCheckState(StrEnum):
    OK = "ok"
    # Nothing is signed, since there is no key; revisions are sealed all the same.
    UNSIGNED = "unsigned"
    BEHIND = "behind"
    CLONED = "cloned"
    FORKED = "forked"
    # The database did not say.
    UNKNOWN = "unknown"
