"""What becomes of a copy of the database: the operator decides whether it goes on as the same ledger or begins anew."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from src.ledger import difference, ledger_row
from src.ledger.exceptions import AdoptionRefused

_READ = text(f"""
    SELECT origin, size, forked, seen::text AS seen, system_identifier IS NULL OR (
        system_identifier = {ledger_row.THIS_SYSTEM} AND database_oid = {ledger_row.THIS_DATABASE}
    ) AS is_original
    FROM ledger FOR UPDATE
""")
# Transaction ids of another cluster say nothing here: every revision is looked at, and those without an entry get one.
# No cluster has a timeline 0: as after a failover, the witnesses are asked before anything is signed, since a copy can
# lack what the other database has signed.
_ADOPT = text(f"""
    UPDATE ledger SET
        system_identifier = {ledger_row.THIS_SYSTEM}, database_oid = {ledger_row.THIS_DATABASE},
        timeline_id = 0,
        seen = NULL, target = NULL, after_audit_id = '00000000-0000-0000-0000-000000000000', after_version = 0,
        forked = NULL
""")
# Such a row has the transaction id of another cluster, as logical replication and COPY bring it.
_HAS_STRAYS = text(f"""
    SELECT EXISTS (
        SELECT FROM audit_revision AS revision
        WHERE NOT EXISTS (
            SELECT FROM ledger_entry AS entry
            WHERE entry.audit_id = revision.audit_id AND entry.version = revision.version
        ) AND ({difference.PREDICATE}) IS NOT TRUE
    )
""")
_SNAPSHOT = text("SELECT pg_current_snapshot()::text WHERE pg_is_in_recovery() IS NOT NULL")
_ASK_AGAIN = text("UPDATE ledger_witness SET timeline_id = NULL")
_RENAME = text("UPDATE ledger SET origin = :origin, forked = NULL, logged_size = -1")


async def adopt(connection: AsyncConnection, witnesses: Collection[str] = ()) -> int:
    """Make this database the one of the ledger, or have it look at every revision again if some would never be sealed.

    `witnesses`: the names of those in the settings. Returns how many entries there are. Raises `AdoptionRefused`.
    """
    row = await _read(connection)
    if row.forked and row.forked.partition(": ")[0] in witnesses:
        raise AdoptionRefused(
            f"forked: {row.forked}: go back to the database that has these entries, or begin anew with "
            "python -m src.ledger new; if the witness errs, take it out of LEDGER_WITNESSES first"
        )
    if row.is_original and not row.forked and not await _has_strays(connection, row.seen):
        raise AdoptionRefused("this database is the one that the ledger is in: there is nothing to adopt")
    await connection.execute(_ADOPT)
    await connection.execute(_ASK_AGAIN)
    return int(row.size)


async def _read(connection: AsyncConnection) -> Row[Any]:
    row = (await connection.execute(_READ)).one_or_none()
    if row is None:
        raise AdoptionRefused("the row of the table ledger is gone: restore it from a backup")
    return row


async def _has_strays(connection: AsyncConnection, seen: str | None) -> bool:
    if seen is None:
        return False
    now = (await connection.execute(_SNAPSHOT)).scalar_one()
    return bool((await connection.execute(_HAS_STRAYS, difference.parameters(seen, now))).scalar_one())


async def begin_anew(connection: AsyncConnection, origin: str | None) -> int:
    """Sign as `origin` from here on. Returns how many entries there are. Raises `AdoptionRefused`."""
    row = await _read(connection)
    if origin is None or origin == row.origin:
        name = f"a name that is not {row.origin}" if row.origin else "its name"
        raise AdoptionRefused(f"set LEDGER_ORIGIN to {name}, and LEDGER_KEY to a key of its own")
    if not row.is_original:
        await connection.execute(_ADOPT)
    await connection.execute(_RENAME, {"origin": origin})
    return int(row.size)
