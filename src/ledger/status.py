"""Whether the ledger is sealed, signed and witnessed as it should be."""

from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from src import clock
from src.database import AutocommitConnection
from src.ledger import difference, ledger_row, witnesses
from src.ledger.config import LedgerSettings
from src.ledger.constants import BEHIND_AFTER_SECONDS, UNSEALED_LOOKED_AT, LedgerState, WitnessState
from src.ledger.exceptions import LedgerMissing
from src.ledger.heads import get_head
from src.ledger.schemas import LastCheckpoint, LedgerStatus, WitnessStatus

_STATUS = text(f"""
    SELECT origin, seen::text AS seen, pg_current_snapshot()::text AS now, after_audit_id, after_version,
        target IS NOT NULL AS is_unfinished, forked,
        system_identifier IS NOT NULL AND (
            system_identifier <> {ledger_row.THIS_SYSTEM} OR database_oid <> {ledger_row.THIS_DATABASE}
        ) AS is_cloned
    FROM ledger
""")
_LAST_CHECKPOINT = text("""
    SELECT size, created_at, (
        SELECT count(*) FROM ledger_cosignature AS cosignature
        WHERE cosignature.origin = :origin AND cosignature.size = ledger_checkpoint.size
            AND witness = ANY(CAST(:keys AS text[]))
    ) AS cosignatures FROM ledger_checkpoint WHERE origin = :origin ORDER BY size DESC LIMIT 1
""")
_HAS_NO_ENTRY = (
    "NOT EXISTS (SELECT FROM ledger_entry AS entry WHERE (entry.audit_id, entry.version) = (r.audit_id, r.version))"
)
# Looks at the first revisions that wait, in the order of their transactions, and at the next ones by their keys while
# many are being sealed. It never looks at all that wait: these can be millions.
_OLDEST_UNSEALED = text(f"""
    SELECT min(changed_at) FROM (
        (SELECT * FROM audit_revision WHERE {difference.WAS_IN_FLIGHT} LIMIT {UNSEALED_LOOKED_AT})
        UNION ALL
        (SELECT * FROM audit_revision WHERE {difference.IS_LATER} ORDER BY xid LIMIT {UNSEALED_LOOKED_AT})
        UNION ALL
        (SELECT * FROM (
            SELECT * FROM audit_revision
            WHERE (audit_id, version) > (CAST(:after_audit_id AS uuid), CAST(:after_version AS integer))
                AND CAST(:is_unfinished AS boolean)
            ORDER BY audit_id, version LIMIT {UNSEALED_LOOKED_AT}
        ) AS next WHERE {difference.PREDICATE})
    ) AS r WHERE {_HAS_NO_ENTRY}
""")
# Looks at the next revisions by their keys, where the ledger has seen none yet.
_OLDEST_OF_NEXT = text(f"""
    SELECT min(changed_at) FROM (
        SELECT * FROM audit_revision
        WHERE (audit_id, version) > (CAST(:after_audit_id AS uuid), CAST(:after_version AS integer))
        ORDER BY audit_id, version LIMIT {UNSEALED_LOOKED_AT}
    ) AS r WHERE {_HAS_NO_ENTRY}
""")

Reader = AutocommitConnection | AsyncConnection


async def get_state(connection: Reader) -> LedgerState:
    """Whether the ledger is sealed as it should be. Raises `LedgerMissing`."""
    row = await _read_status(connection)
    return _state(row, None if row.is_cloned else await _find_oldest_unsealed(connection, row))


async def get_status(connection: AutocommitConnection, settings: LedgerSettings) -> LedgerStatus:
    """What an operator asks of the ledger: its state, and what is sealed and signed. Raises `LedgerMissing`."""
    row = await _read_status(connection)
    head = await get_head(connection, settings)
    keys = [str(witness.key) for witness in settings.witnesses]
    last = (await connection.execute(_LAST_CHECKPOINT, {"origin": settings.ledger_origin, "keys": keys})).first()
    known = await witnesses.read_all(connection, settings.witnesses)
    oldest = None if row.is_cloned else await _find_oldest_unsealed(connection, row)
    return LedgerStatus(
        state=_state(row, oldest),
        origin=settings.ledger_origin,
        size=head.size,
        root=head.root.hex(),
        signed=settings.ledger_key is not None,
        keys=[str(key) for key in settings.verifiers],
        last_checkpoint=last
        and LastCheckpoint(size=last.size, created_at=last.created_at, cosignatures=last.cosignatures),
        oldest_unsealed_seconds=oldest,
        witnesses=[
            WitnessStatus(
                name=witness.key.name,
                url=witness.url,
                last_size=found.size if found else 0,
                state=found.state if found else WitnessState.WAITING,
            )
            for witness in settings.witnesses
            for found in [known.get(str(witness.key))]
        ],
        quorum=settings.quorum,
    )


async def _read_status(connection: Reader) -> Row[Any]:
    row = (await connection.execute(_STATUS)).first()
    if row is None:
        raise LedgerMissing
    return row


def _state(row: Row[Any], oldest: float | None) -> LedgerState:
    if row.is_cloned:
        return LedgerState.CLONED
    if row.forked:
        return LedgerState.FORKED
    return LedgerState.BEHIND if oldest is not None and oldest > BEHIND_AFTER_SECONDS else LedgerState.OK


async def _find_oldest_unsealed(connection: Reader, row: Row[Any]) -> float | None:
    """The age in seconds of the oldest revision that waits, among the first ones; None if none does."""
    position = {"after_audit_id": row.after_audit_id, "after_version": row.after_version}
    if row.seen is None:
        oldest = await connection.scalar(_OLDEST_OF_NEXT, position)
    else:
        position |= {"is_unfinished": row.is_unfinished, **difference.parameters(row.seen, row.now)}
        oldest = await connection.scalar(_OLDEST_UNSEALED, position)
    return None if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())
