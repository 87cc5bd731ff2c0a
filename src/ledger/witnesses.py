"""Witnesses sign checkpoints that are consistent with what they have seen. No function here commits.

They are asked outside of every transaction: a process reserves a witness for some seconds (`ledger_witness.next_at`),
asks it, and keeps the answer. So no two processes ask the same, and a witness that hangs holds up nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from src.database import AutocommitConnection
from src.driver_transaction import DriverTransaction
from src.ledger import ledger_row
from src.ledger.constants import WitnessState
from src.ledger.cosignatures import Witness
from src.statement import Statement

PUBLISHED_AFTER_SECONDS = 10
"""A checkpoint that does not have its quorum by then is published all the same."""

DEADLINE_SECONDS = 5
"""Seconds for one question."""

MAX_QUESTIONS = 3
"""A witness that answers with another size is asked again, from that size on."""

_TAKEN_SECONDS = DEADLINE_SECONDS * MAX_QUESTIONS + 5
_RETRY_SECONDS = 5


@dataclass(frozen=True)
class Question:
    """The checkpoint that a witness is to sign, and the size that it had last."""

    witness: Witness
    old: int
    size: int
    note: str
    timeline_id: int


@dataclass(frozen=True)
class Answer:
    """`line` is the cosignature; `detail` says what went wrong."""

    state: WitnessState
    size: int | None = None
    line: str | None = None
    detail: str = ""


_ADD = Statement(
    text("INSERT INTO ledger_witness (witness) SELECT unnest(CAST(:keys AS text[])) ON CONFLICT DO NOTHING")
)
_TAKE = Statement(
    text(f"""
    UPDATE ledger_witness AS witness SET next_at = clock_timestamp() + make_interval(secs => :seconds)
    FROM ledger CROSS JOIN LATERAL (
        SELECT size, note FROM ledger_checkpoint WHERE origin = ledger.origin ORDER BY size DESC LIMIT 1
    ) AS latest CROSS JOIN (
        SELECT {ledger_row.THIS_TIMELINE} AS id
    ) AS timeline
    WHERE witness.witness = ANY(CAST(:keys AS text[])) AND witness.next_at <= clock_timestamp()
        AND ledger.origin = :origin AND ledger.forked IS NULL AND latest.size > 0
        AND ledger.system_identifier = {ledger_row.THIS_SYSTEM} AND ledger.database_oid = {ledger_row.THIS_DATABASE}
        AND (witness.timeline_id IS DISTINCT FROM timeline.id OR NOT EXISTS (
            SELECT FROM ledger_cosignature AS cosignature
            WHERE cosignature.origin = ledger.origin AND cosignature.size = latest.size
                AND cosignature.witness = witness.witness
        ))
    RETURNING witness.witness, witness.size AS old, latest.size, latest.note, timeline.id AS timeline_id
""")
)
_SIGNED_SIZE = Statement(text("SELECT coalesce(max(size), 0) FROM ledger_checkpoint WHERE origin = :origin"))
_KEEP_LINE = Statement(
    text("""
    INSERT INTO ledger_cosignature (origin, size, witness, line) VALUES (:origin, :size, :witness, :line)
    ON CONFLICT DO NOTHING
""")
)
_KEEP_ANSWER = Statement(
    text("""
    UPDATE ledger_witness SET state = :state, size = coalesce(CAST(:size AS bigint), size),
        timeline_id = coalesce(CAST(:timeline_id AS integer), timeline_id),
        next_at = clock_timestamp() + make_interval(secs => :seconds)
    WHERE witness = :witness
""")
)
_ENTER_TIMELINE = Statement(
    text("""
    UPDATE ledger SET timeline_id = :timeline_id
    WHERE timeline_id <> :timeline_id AND forked IS NULL AND :quorum <= (
        SELECT count(*) FROM ledger_witness
        WHERE witness = ANY(CAST(:keys AS text[])) AND timeline_id = :timeline_id AND state = 'ok'
    )
""")
)
_READ = text("SELECT witness, size, state FROM ledger_witness WHERE witness = ANY(CAST(:keys AS text[]))")


async def take_questions(connection: DriverTransaction, origin: str, witnesses: Sequence[Witness]) -> list[Question]:
    """What this process is to ask now."""
    keys = {str(witness.key): witness for witness in witnesses}
    await connection.fetch(_ADD, keys=[*keys])
    rows = await connection.fetch(_TAKE, keys=[*keys], origin=origin, seconds=_TAKEN_SECONDS)
    return [
        Question(keys[witness], min(old, size), size, note, timeline_id)
        for witness, old, size, note, timeline_id in rows
    ]


async def signed_size(connection: DriverTransaction, origin: str) -> int:
    (size,) = await connection.fetch_row(_SIGNED_SIZE, origin=origin)
    return int(size)


async def keep_answer(
    connection: DriverTransaction,
    origin: str,
    witnesses: Sequence[Witness],
    quorum: int,
    question: Question,
    answer: Answer,
) -> None:
    """Keep the answer of a witness. It can fork the ledger, or let it sign again after a standby has taken over."""
    name = str(question.witness.key)
    if answer.line:
        await connection.fetch(_KEEP_LINE, origin=origin, size=question.size, witness=name, line=answer.line)
    await connection.fetch(
        _KEEP_ANSWER,
        witness=name,
        state=answer.state,
        size=answer.size,
        timeline_id=question.timeline_id if answer.line else None,
        seconds=0 if answer.state is WitnessState.OK else _RETRY_SECONDS,
    )
    if answer.state is WitnessState.FORKED:
        detail = f"{question.witness.key.name}: {answer.detail}"
        await ledger_row.mark_forked(connection, origin, detail)
    keys = [str(witness.key) for witness in witnesses]
    await connection.fetch(_ENTER_TIMELINE, timeline_id=question.timeline_id, quorum=quorum, keys=keys)


async def read_all(connection: AutocommitConnection, witnesses: Sequence[Witness]) -> dict[str, Row[Any]]:
    """What is known of the witnesses, by their keys."""
    if not witnesses:
        return {}
    rows = await connection.execute(_READ, {"keys": [str(witness.key) for witness in witnesses]})
    return {row.witness: row for row in rows}
