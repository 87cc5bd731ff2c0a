"""What a copy of the database is to be: the operator says it."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from src.ledger.exceptions import AdoptionRefused

_READ = text("""
    SELECT origin, size, system_identifier IS NULL OR (
        system_identifier = (SELECT system_identifier FROM pg_control_system())
        AND database_oid = (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
    ) AS is_original
    FROM ledger FOR UPDATE
""")
# Transaction ids of another cluster say nothing here: every revision is looked at, and those without an entry get one.
_ADOPT = text("""
    UPDATE ledger SET
        system_identifier = (SELECT system_identifier FROM pg_control_system()),
        database_oid = (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
        timeline_id = (SELECT timeline_id FROM pg_control_checkpoint()),
        seen = NULL, target = NULL, after_audit_id = '00000000-0000-0000-0000-000000000000', after_version = 0
""")
_RENAME = text("UPDATE ledger SET origin = :origin")


async def adopt(connection: AsyncConnection) -> int:
    """Make this database the one of the ledger. Returns how many entries there are. Raises `AdoptionRefused`."""
    row = (await connection.execute(_READ)).one()
    if row.is_original:
        raise AdoptionRefused("this database is the one that the ledger is in: there is nothing to adopt")
    await connection.execute(_ADOPT)
    return int(row.size)


async def begin_anew(connection: AsyncConnection, origin: str | None) -> int:
    """Sign as `origin` from here on. Returns how many entries there are. Raises `AdoptionRefused`."""
    row = (await connection.execute(_READ)).one()
    if origin is None or origin == row.origin:
        raise AdoptionRefused(
            f"set LEDGER_ORIGIN to a name that is not {row.origin}, and LEDGER_KEY to a key of its own"
        )
    if not row.is_original:
        await connection.execute(_ADOPT)
    await connection.execute(_RENAME, {"origin": origin})
    return int(row.size)
