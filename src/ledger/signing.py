"""How the ledger is signed, as it was committed. No function here commits."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from src.driver_transaction import DriverTransaction
from src.ledger import ledger_row, storage
from src.ledger.checkpoints import Checkpoint
from src.ledger.exceptions import OriginChanged
from src.ledger.merkle import consistency_proof, is_consistent
from src.ledger.notes import SignerKey, sign_note, sign_too
from src.statement import Statement

_NAME = Statement(text("UPDATE ledger SET origin = :origin"))
_HAS_SIGNED = Statement(text("SELECT EXISTS (SELECT FROM ledger_checkpoint WHERE origin = :origin AND size > 0)"))
_NEWEST = Statement(text("SELECT size, root FROM ledger_checkpoint WHERE origin = :origin ORDER BY size DESC LIMIT 1"))
_NOTE = Statement(text("SELECT note FROM ledger_checkpoint WHERE origin = :origin AND size = :size"))
_ADD_SIGNATURES = Statement(
    text("UPDATE ledger_checkpoint SET note = note || CAST(:lines AS text) WHERE origin = :origin AND size = :size")
)
_KEEP_CHECKPOINT = Statement(
    text("""
    INSERT INTO ledger_checkpoint (origin, size, root, note) VALUES (:origin, :size, :root, :note)
""")
)
_UNLOGGED = Statement(
    text("""
    SELECT size, note FROM ledger_checkpoint WHERE origin = :origin AND size > :logged_size ORDER BY size
""")
)
_LOGGED = Statement(text("UPDATE ledger SET logged_size = :size"))

_FORKED = "the service has signed {size} entries, which this ledger does not continue"


@dataclass(frozen=True)
class Signed:
    """The result of `sign`.

    `note`: the checkpoint that was signed, if there was something to sign. `unlogged`: whether checkpoints wait to be
    logged. `new_timeline`: a standby or a copy has taken over. `forked`: who knows another tree; then nothing is
    signed. `checkpoint`: what is signed, now or before; the next call takes it as `last`.
    """

    note: str | None = None
    unlogged: bool = False
    new_timeline: int | None = None
    forked: str | None = None
    checkpoint: Checkpoint | None = None


async def sign(
    connection: DriverTransaction,
    origin: str,
    keys: Sequence[SignerKey],
    last: Checkpoint | None = None,
    *,
    asks_first: bool = False,
) -> Signed | None:
    """Sign the ledger as it was committed, unless that was done. None if somebody else is sealing.

    `last` is the newest checkpoint that this process knows: whoever owns the database can rewrite all that is in it,
    but not what a process remembers. A ledger that does not continue `last` is forked; without `last`, one that does
    not continue the newest checkpoint in the database.
    `asks_first`: after a standby or a copy has taken over, nothing is signed until `src.ledger.witnesses` has asked.
    Raises `LedgerCloned`, `OriginChanged`, `TileLost`.
    """
    head = await ledger_row.lock(connection)
    if head is None:
        return None
    if head.origin is None:
        await connection.fetch(_NAME, origin=origin)
    elif head.origin != origin:
        raise OriginChanged(head.origin)
    checkpoint = Checkpoint(origin, head.size, head.root)
    if forked := head.forked or await _find_fork(connection, checkpoint, last):
        return Signed(forked=forked)
    new_timeline = None if head.timeline_id in (None, head.this_timeline_id) else head.this_timeline_id
    if new_timeline and asks_first and (await connection.fetch_row(_HAS_SIGNED, origin=origin))[0]:
        return Signed(new_timeline=new_timeline)
    if new_timeline:
        await ledger_row.identify(connection, head)
    if kept := await connection.fetch(_NOTE, origin=origin, size=head.size):
        await _add_signatures(connection, origin, head.size, sign_too(kept[0][0], keys))
        return Signed(None, head.logged_size < head.size, new_timeline, checkpoint=checkpoint)
    note = sign_note(str(checkpoint), keys)
    await connection.fetch(_KEEP_CHECKPOINT, origin=origin, size=head.size, root=head.root, note=note)
    return Signed(note, unlogged=True, new_timeline=new_timeline, checkpoint=checkpoint)


async def _find_fork(connection: DriverTransaction, checkpoint: Checkpoint, last: Checkpoint | None) -> str | None:
    """Mark the ledger as forked if it does not continue what was signed last. Raises `TileLost`."""
    last = last or await _newest(connection, checkpoint.origin)
    if last is None or await _continues(connection, last, checkpoint):
        return None
    forked = _FORKED.format(size=last.size)
    await ledger_row.mark_forked(connection, checkpoint.origin, forked)
    return forked


async def _newest(connection: DriverTransaction, origin: str) -> Checkpoint | None:
    rows = await connection.fetch(_NEWEST, origin=origin)
    return Checkpoint(origin, *rows[0]) if rows else None


async def _continues(connection: DriverTransaction, old: Checkpoint, new: Checkpoint) -> bool:
    """Whether the tiles show that the tree has only grown. Raises `TileLost`."""
    if new.size < old.size:
        return False
    proof = await storage.fetch_hashes(connection, consistency_proof(old.size, new.size))
    return is_consistent(old.size, new.size, proof, old.root, new.root)


async def _add_signatures(connection: DriverTransaction, origin: str, size: int, lines: str) -> None:
    """Add the signatures of keys that are new since the checkpoint was signed."""
    if lines:
        await connection.fetch(_ADD_SIGNATURES, origin=origin, size=size, lines=lines)


async def take_unlogged(connection: DriverTransaction, origin: str) -> list[str]:
    """The checkpoints that no process has logged. The caller logs them and then commits, so that none is lost."""
    head = await ledger_row.lock(connection)
    if head is None:
        return []
    rows = await connection.fetch(_UNLOGGED, origin=origin, logged_size=head.logged_size)
    if rows:
        await connection.fetch(_LOGGED, size=rows[-1]["size"])
    return [each["note"] for each in rows]
