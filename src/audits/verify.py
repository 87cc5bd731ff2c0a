"""`python -m src.audits.verify`: recompute every hash and chain of the audit trail.

Each finding is a line on stdout that names the record; progress goes to stderr. The exit status is 1 where there are
findings. Memory stays constant: revisions are read in the order of their chains, from one snapshot.

What this cannot show is written in docs/operating.md.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from sqlalchemy import Text, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from src.audits.constants import Operation
from src.audits.models import audit, audit_revision
from src.audits.revisions import Revision, canonicalize, compute_hash
from src.audits.schemas import Audit
from src.audits.statements import AS_JSON
from src.config import DatabaseSettings
from src.database import create_job_engine
from src.jobs import told_in_one_line

_STREAMED = {"yield_per": 500}
_PROGRESS_EVERY = 100_000
_ADVICE = {
    "42P01": "the database is not migrated: run make migrate",
    "42703": "the database is of another version: run make migrate",
}

# What was tampered with can be anything: times and JSON arrive as text, and are read row by row.
_REVISIONS = (
    select(
        audit_revision.c.audit_id,
        audit_revision.c.version,
        audit_revision.c.operation,
        func.to_json(audit_revision.c.changed_at).cast(Text).label("changed_at"),
        audit_revision.c.changed_by,
        audit_revision.c.reason,
        audit_revision.c.record.cast(Text).label("record"),
        audit_revision.c.salt,
        audit_revision.c.previous_hash,
        audit_revision.c.hash,
        # json_build_object makes an object of nulls where the join finds nothing.
        case((audit.c.id.is_not(None), AS_JSON)).label("present"),
        audit.c.hash.label("present_hash"),
    )
    .select_from(audit_revision.outerjoin(audit, audit.c.id == audit_revision.c.audit_id))
    .order_by(audit_revision.c.audit_id, audit_revision.c.version)
)
# What reading it can raise: a year that Python has not, a number beyond a double or a decimal, endless nesting.
_UNREADABLE = (ValueError, ArithmeticError, RecursionError)
_WITHOUT_REVISION = select(audit.c.id).where(
    ~select(audit_revision.c.audit_id).where(audit_revision.c.audit_id == audit.c.id).exists()
)


@dataclass(frozen=True)
class Row:
    """A revision as it is stored, and the record as it is present, if it is."""

    audit_id: UUID
    version: int
    operation: str
    changed_at: str
    changed_by: str | None
    reason: str | None
    record: str
    salt: bytes
    previous_hash: bytes | None
    hash: bytes
    present: str | None
    present_hash: bytes | None


class Chain:
    """The revisions of one record, taken one by one, and what does not agree among them."""

    def __init__(self, first: Row) -> None:
        self.audit_id = first.audit_id
        self.findings: list[str] = []
        self._last: Row | None = None

    def add(self, row: Row) -> None:
        last, self._last = self._last, row
        self.findings += _judge(row, last)

    def end(self) -> None:
        """Compare what the chain says last with the record that is there, or is not."""
        if self._last:
            self.findings += _compare(self._last)


def _judge(row: Row, last: Row | None) -> Iterator[str]:
    if _recomputed_hash(row) != row.hash:
        yield f"version {row.version} is not what was recorded: its hash does not agree"
    if row.previous_hash != (last.hash if last else None):
        yield f"version {row.version} does not follow the one before: its previous hash does not agree"
    if last and row.version != last.version + 1:
        yield f"{_between(last.version, row.version)} is missing"
    if last and last.operation == Operation.DELETE:
        yield f"version {row.version} comes after the deletion"
    if (last is None) != (row.operation == Operation.CREATE):
        yield f"version {row.version} is a {row.operation}" + ("" if last else ": the first is missing")


def _compare(last: Row) -> Iterator[str]:
    deleted = last.operation == Operation.DELETE
    if last.present is None:
        if not deleted:
            yield "the record is gone, and no revision says that it was deleted"
        return
    if deleted:
        yield "the record is there, although its last revision deleted it"
        return
    if last.present_hash != last.hash:
        yield f"the record does not point to version {last.version}: a later revision is missing, or it was changed"
    if _normalized(last.present) != _normalized(last.record):
        yield f"the record is not what version {last.version} says"


def _between(before: int, after: int) -> str:
    return f"version {before + 1}" if after == before + 2 else f"a version between {before} and {after}"


def _recomputed_hash(row: Row) -> bytes | None:
    """None for what cannot even be read, which is not what was recorded."""
    try:
        return compute_hash(
            Revision(
                audit_id=row.audit_id,
                version=row.version,
                operation=Operation(row.operation),
                changed_at=datetime.fromisoformat(from_json(row.changed_at)),
                changed_by=row.changed_by,
                reason=row.reason,
                record=from_json(row.record),
                salt=row.salt,
                previous_hash=row.previous_hash,
                hash=row.hash,
            )
        )
    except _UNREADABLE:
        return None


def _normalized(record: str) -> tuple[bytes, Any] | str:
    """A record and its snapshot are written in different forms of one value; what is no record stays as it is.

    Both got their `details` from one value of one statement, so that their numbers agree in every digit: 2^53 and the
    next integer are one double, and two values.
    """
    try:
        canonical = canonicalize(Audit.model_validate_json(record).model_dump(mode="json"))
        return canonical, json.loads(record, parse_int=Decimal, parse_float=Decimal)["details"]
    except _UNREADABLE:
        return record


async def verify(connection: AsyncConnection) -> AsyncIterator[tuple[UUID, str]]:
    """Each record that does not agree, and why."""
    async for chain in _chains(connection):
        for finding in chain.findings:
            yield chain.audit_id, finding
    async for audit_id in await connection.stream_scalars(_WITHOUT_REVISION, execution_options=_STREAMED):
        yield audit_id, "the record has no revision"


async def _chains(connection: AsyncConnection) -> AsyncIterator[Chain]:
    chain, count = None, 0
    async for values in await connection.stream(_REVISIONS, execution_options=_STREAMED):
        row = Row(*values)
        if chain is None or chain.audit_id != row.audit_id:
            if chain:
                chain.end()
                yield chain
            chain = Chain(row)
        chain.add(row)
        count += 1
        if count % _PROGRESS_EVERY == 0:
            _report(f"{count} revisions read")
    if chain:
        chain.end()
        yield chain
    _report(f"{count} revisions read, all of them")


def _report(progress: str) -> None:
    print(f"verify: {progress}", file=sys.stderr, flush=True)


async def main() -> int:
    engine = create_job_engine(DatabaseSettings.load())
    findings = 0
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async for audit_id, finding in verify(connection):
            print(f"{audit_id}: {finding}", flush=True)
            findings += 1
    await engine.dispose()
    _report(f"findings: {findings}" if findings else "every hash and chain agrees")
    return 1 if findings else 0


if __name__ == "__main__":
    with told_in_one_line("verify", _ADVICE):
        sys.exit(asyncio.run(main()))
