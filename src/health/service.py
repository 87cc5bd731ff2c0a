"""Runs the health checks, and decides whether the service is ready."""

from src import __version__
from src.health.constants import AIState, DatabaseState, LedgerCheckState, MigrationState, State
from src.health.exceptions import CheckFailed
from src.health.probe import DatabaseProbe, Probe
from src.health.schemas import AICheck, Checks, DatabaseCheck, Health, LedgerCheck, MigrationCheck
from src.ledger.constants import LedgerState
from src.schema_revisions import SchemaRevisions


async def check(
    database_probe: DatabaseProbe, revisions: SchemaRevisions, *, signed: bool, ai_configured: bool
) -> Health:
    """The state of the service. Takes at most `DEADLINE_SECONDS`, even if the database hangs."""
    try:
        probe = await database_probe.result()
    except CheckFailed:
        probe = Probe(DatabaseState.UNAVAILABLE, None)
    database = DatabaseCheck(status=probe.state, latency_ms=probe.latency_ms, detail=probe.detail)
    migrations = MigrationCheck(
        status=_migration_state(probe, revisions), current=probe.revision, expected=revisions.head
    )
    ready = database.status is DatabaseState.OK and migrations.status in (MigrationState.OK, MigrationState.AHEAD)
    usual = State.DEGRADED if probe.ledger is LedgerState.FORKED else State.OK
    return Health(
        status=usual if ready else State.UNAVAILABLE,
        version=__version__,
        checks=Checks(
            database=database,
            migrations=migrations,
            ledger=LedgerCheck(status=_ledger_state(probe, signed)),
            ai=AICheck(status=AIState.CONFIGURED if ai_configured else AIState.NOT_CONFIGURED),
        ),
    )


def _migration_state(probe: Probe, revisions: SchemaRevisions) -> MigrationState:
    if probe.latency_ms is None:
        return MigrationState.UNKNOWN
    if probe.revision == revisions.head:
        return MigrationState.OK
    if probe.revision is None:
        return MigrationState.MISSING
    return MigrationState.BEHIND if probe.revision in revisions.known else MigrationState.AHEAD


def _ledger_state(probe: Probe, signed: bool) -> LedgerCheckState:
    if probe.ledger is None:
        return LedgerCheckState.UNKNOWN
    if probe.ledger is LedgerState.OK and not signed:
        return LedgerCheckState.UNSIGNED
    return LedgerCheckState(probe.ledger)
