"""How a record is changed: it is read, and its next revision is written if nobody else has changed it since.

Why: this takes two statements instead of four, because it needs no transaction and no lock. It takes half the CPU
(tests/benchmarks/README.md). The version tells whether the record is still the one that was read.

It is no option of `FAST_PATHS`: there is no other way to change a record.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID
from weakref import WeakValueDictionary

from src.admission import Admission, NotAdmitted
from src.audits import statements
from src.audits.constants import MAX_ATTEMPTS
from src.audits.exceptions import AuditNotFound
from src.audits.revisions import Revision
from src.audits.schemas import Audit
from src.database import AutocommitConnection
from src.etags import IfMatch
from src.exceptions import Conflict, DatabaseTimeout, Overloaded
from src.statement import Statement

_OTHERS = "Many others are changing this record. Try again shortly."
# Only SQL can have written it.
_NO_DOUBLE = "The details hold a number that is too large for a double. Change them too, or replace the record."
_LATE = "Another change of this record did not end in time. Try again shortly."

_turns: WeakValueDictionary[UUID, Admission] = WeakValueDictionary()


async def change_record(
    connection: AutocommitConnection,
    audit_id: UUID,
    if_match: IfMatch | None,
    change: Callable[[Audit, bytes | None], Revision],
    statement: Statement,
) -> tuple[Revision, str]:
    """Read a record, and write the revision that `change` makes of it. Returns the revision, and the record as JSON.

    `statement` writes nothing if somebody else has changed the record since it was read; then this starts again.

    Raises `AuditNotFound`, `VersionMismatch`, `DetailsTooLarge`, `Conflict`, `DatabaseTimeout`, `Overloaded`.
    """
    async with _one_at_a_time(audit_id, connection.lock_timeout):
        for _ in range(MAX_ATTEMPTS):
            found = await connection.fetch(statements.GET_WITH_HASH, audit_id=audit_id)
            if not found:
                raise AuditNotFound
            record, last_hash = found[0]
            audit = Audit.model_validate_json(record)
            if if_match:
                if_match.check(audit.version)
            try:
                revision = change(audit, None if last_hash is None else bytes.fromhex(last_hash))
            except OverflowError:
                raise Conflict(_NO_DOUBLE) from None
            with statements.translate_size_check():
                written = await connection.fetch_column(statement, **statements.parameters([revision]))
            if written:
                return revision, written[0]
    raise Overloaded(_OTHERS)


@asynccontextmanager
async def _one_at_a_time(audit_id: UUID, seconds: float) -> AsyncIterator[None]:
    """Let one change of a record at a time run in this process: of several at once, all but one would start again.

    Others wait up to `seconds`, and get the error that PostgreSQL would give to those who wait for the row: the
    change before them waits for the database. Raises `DatabaseTimeout`.
    """
    turn = _turns.setdefault(audit_id, Admission(1, seconds))
    try:
        await turn.admit()
    except NotAdmitted:
        raise DatabaseTimeout(_LATE) from None
    try:
        yield
    finally:
        turn.release()
