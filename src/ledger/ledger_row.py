"""The row of `ledger`: whoever has it locked seals and signs. No function here commits.

It says which database it is in. In a copy, PostgreSQL gives another answer (`THIS_SYSTEM`, `THIS_DATABASE`).
"""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from src.driver_transaction import DriverTransaction
from src.ledger.exceptions import LedgerCloned
from src.statement import Statement

THIS_SYSTEM = "(SELECT system_identifier FROM pg_control_system())"
THIS_DATABASE = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())"
# That of the WAL: after a promotion, pg_control_checkpoint() names the old one for minutes.
THIS_TIMELINE = "CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS bit(32)) AS integer)"

_COLUMNS = f"""
    origin, size, root, seen::text AS seen, target::text AS target, after_audit_id, after_version,
        system_identifier, database_oid, timeline_id, forked, logged_size,
        {THIS_SYSTEM} AS this_system_identifier,
        {THIS_DATABASE} AS this_database_oid,
        {THIS_TIMELINE} AS this_timeline_id
"""
_READ = Statement(text(f"SELECT {_COLUMNS} FROM ledger"))
# A commit that is lost in a crash must not have been published. So this transaction waits for the disk, and for that of
# a synchronous standby, whatever `synchronous_commit` the role or the database has.
_LOCK = Statement(
    text(f"""
    SELECT {_COLUMNS}, CASE WHEN current_setting('synchronous_commit') NOT IN ('on', 'remote_apply')
        THEN set_config('synchronous_commit', 'on', true) END
    FROM ledger FOR UPDATE SKIP LOCKED
""")
)
_IDENTIFY = Statement(
    text("""
    UPDATE ledger SET system_identifier = :system_identifier, database_oid = :database_oid, timeline_id = :timeline_id
""")
)
# A witness may answer late, when the ledger already has another name.
_FORK = Statement(text("UPDATE ledger SET forked = :detail WHERE forked IS NULL AND origin = :origin"))


class LedgerRow(NamedTuple):
    """The row of `ledger`, and which database this is."""

    origin: str | None
    size: int
    root: bytes
    seen: str | None
    target: str | None
    after_audit_id: UUID
    after_version: int
    system_identifier: int | None
    database_oid: int | None
    timeline_id: int | None
    forked: str | None
    logged_size: int
    this_system_identifier: int
    this_database_oid: int
    this_timeline_id: int


async def read(connection: DriverTransaction) -> LedgerRow | None:
    """The row as it is now, without a lock: somebody may be changing it."""
    rows = await connection.fetch(_READ)
    return LedgerRow(*rows[0]) if rows else None


async def lock(connection: DriverTransaction) -> LedgerRow | None:
    """The row of `ledger`, locked; None if somebody else has locked it. Raises `LedgerCloned`."""
    rows = await connection.fetch(_LOCK)
    if not rows:
        return None
    *columns, _ = rows[0]
    head = LedgerRow(*columns)
    known = (head.system_identifier, head.database_oid)
    if known == (None, None):
        await identify(connection, head)
    elif known != (head.this_system_identifier, head.this_database_oid):
        raise LedgerCloned
    return head


async def identify(connection: DriverTransaction, head: LedgerRow) -> None:
    """Write into the row that the ledger is in this database, and in its timeline."""
    await connection.fetch(
        _IDENTIFY,
        system_identifier=head.this_system_identifier,
        database_oid=head.this_database_oid,
        timeline_id=head.this_timeline_id,
    )


async def mark_forked(connection: DriverTransaction, origin: str, detail: str) -> None:
    """From here on nothing is signed. `detail` says who knows of another tree, and which."""
    await connection.fetch(_FORK, origin=origin, detail=detail)
