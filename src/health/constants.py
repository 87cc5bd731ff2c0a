"""The words and limits of the health checks."""

from enum import StrEnum

# Seconds. Probes give up after one second, by habit and by the defaults of Kubernetes.
DEADLINE = 0.8


class State(StrEnum):
    OK = "ok"
    UNAVAILABLE = "unavailable"


class DatabaseState(StrEnum):
    OK = "ok"
    # A standby, say: reads are served, but a trail that nothing can be added to is not ready.
    READ_ONLY = "read_only"
    # What stands between keeps the service from working as it should; `detail` says how.
    MISCONFIGURED = "misconfigured"
    UNAVAILABLE = "unavailable"


class MigrationState(StrEnum):
    OK = "ok"
    MISSING = "missing"
    BEHIND = "behind"
    # A newer release has migrated the database and this one still serves: usual during a rolling deployment.
    AHEAD = "ahead"
    UNKNOWN = "unknown"


class AIState(StrEnum):
    CONFIGURED = "configured"
    NOT_CONFIGURED = "not_configured"
