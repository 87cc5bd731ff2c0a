"""`python -m src.audits.verify`: recompute every hash of the audit trail, and check every chain.

It prints one line for each finding, which names the record, to stdout, and its progress to stderr. It exits with status
1 if there are findings. It reads the revisions from one snapshot, in the order of their chains, in constant memory.

docs/operating.md says which changes it cannot detect.
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

from pydantic_core import from_json, to_json
from sqlalchemy import Text, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from src.audits.constants import FIRST_VERSION, Operation
from src.audits.models import audit, audit_event, audit_revision
from src.audits.revisions import Revision, canonicalize, compute_hash
from src.audits.schemas import Audit
from src.audits.statements import AS_JSON
from src.config import DatabaseSettings
from src.database import create_job_engine
from src.jobs import exit_with_one_line

_STREAM_OPTIONS = {"yield_per": 500}
_PROGRESS_EVERY = 100_000
_ADVICE_BY_SQLSTATE = {
    "42P01": "the database is not migrated: run make migrate",
    "42703": "the database is of another version: run make migrate",
}

# A tampered row can hold any value. So times and JSON are read as text, and each row is parsed by itself.
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
        # If the join finds no record, json_build_object would return an object of nulls.
        case((audit.c.id.is_not(None), AS_JSON)).label("current_record"),
        audit.c.hash.label("current_hash"),
    )
    .select_from(audit_revision.outerjoin(audit, audit.c.id == audit_revision.c.audit_id))
    .order_by(audit_revision.c.audit_id, audit_revision.c.version)
)
# Errors that parsing a tampered row can raise: for a year that Python does not support, a number that no double or no
# decimal holds, or JSON that is nested too deeply.
_PARSE_ERRORS = (ValueError, ArithmeticError, RecursionError)
_WITHOUT_REVISION = select(audit.c.id).where(
    ~select(audit_revision.c.audit_id).where(audit_revision.c.audit_id == audit.c.id).exists()
)
_EVENT_MEMBERS = ("source", "event_id")
_first_source, _first_event_id = (audit_revision.c.record[name].astext for name in _EVENT_MEMBERS)
_is_of_first = and_(audit_event.c.audit_id == audit_revision.c.audit_id, audit_revision.c.version == FIRST_VERSION)
# First versions whose event is not kept: it could be recorded again.
_WITHOUT_EVENT = select(audit_revision.c.audit_id).where(
    audit_revision.c.version == FIRST_VERSION,
    or_(_first_source.is_not(None), _first_event_id.is_not(None)),
    ~select(audit_event.c.audit_id)
    .where(_is_of_first, audit_event.c.source == _first_source, audit_event.c.event_id == _first_event_id)
    .exists(),
)
# Events whose record tells of another one.
_OTHER_EVENT = (
    select(audit_event.c.audit_id)
    .outerjoin_from(audit_event, audit_revision, _is_of_first)
    .where(
        or_(
            _first_source.is_distinct_from(audit_event.c.source),
            _first_event_id.is_distinct_from(audit_event.c.event_id),
        )
    )
)
_MORE_FINDINGS = {
    "the record has no revision": _WITHOUT_REVISION,
    "its source and event_id are not kept, so the event could be recorded again": _WITHOUT_EVENT,
    "an event is kept for it that its first version does not name": _OTHER_EVENT,
}


@dataclass(frozen=True)
class StoredRevision:
    """A stored revision, and the current record with its hash, which are None if the record was removed."""

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
    current_record: str | None
    current_hash: bytes | None


class Chain:
    """The revisions of one record, added one by one, and the findings about them."""

    def __init__(self, first: StoredRevision) -> None:
        self.audit_id = first.audit_id
        self.findings: list[str] = []
        self._first = first
        self._last: StoredRevision | None = None

    def add(self, row: StoredRevision) -> None:
        last, self._last = self._last, row
        self.findings += _check_revision(row, last)

    def end(self) -> None:
        """Check that the current record is the one of the last revision."""
        if self._last:
            self.findings += _check_current_record(self._first, self._last)


def _check_revision(row: StoredRevision, last: StoredRevision | None) -> Iterator[str]:
    if _recompute_hash(row) != row.hash:
        yield f"version {row.version} is not what was recorded: its hash does not agree"
    if row.previous_hash != (last.hash if last else None):
        yield f"version {row.version} does not follow the one before: its previous hash does not agree"
    if last and row.version != last.version + 1:
        yield f"{_describe_gap(last.version, row.version)} is missing"
    if last and last.operation == Operation.DELETE:
        yield f"version {row.version} comes after the deletion"
    if (last is None) != (row.operation == Operation.CREATE):
        yield f"version {row.version} is a {row.operation}" + ("" if last else ": the first is missing")


def _check_current_record(first: StoredRevision, last: StoredRevision) -> Iterator[str]:
    deleted = last.operation == Operation.DELETE
    if last.current_record is None:
        if not deleted:
            yield "the record is gone, and no revision says that it was deleted"
        return
    if deleted:
        yield "the record is there, although its last revision deleted it"
        return
    if last.current_hash != last.hash:
        yield f"the record does not point to version {last.version}: a later revision is missing, or it was changed"
    if _normalize(last.current_record) != _normalize(_with_event(last.record, first.record)):
        yield f"the record is not what version {last.version} says"


def _with_event(record: str, first: str) -> str:
    """The snapshot with the event of the first version.

    An older release, which knew no events, leaves them out of its snapshots, and leaves those of `audit` as they are.
    """
    try:
        snapshot, of_first = from_json(record), from_json(first)
        if not snapshot.keys().isdisjoint(_EVENT_MEMBERS):
            return record
        # As text: the numbers of `details` must keep every digit.
        return f"{record.rstrip()[:-1]},{to_json({name: of_first.get(name) for name in _EVENT_MEMBERS}).decode()[1:]}"
    except (*_PARSE_ERRORS, AttributeError):
        return record


def _describe_gap(before: int, after: int) -> str:
    return f"version {before + 1}" if after == before + 2 else f"a version between {before} and {after}"


def _recompute_hash(row: StoredRevision) -> bytes | None:
    """The hash of the stored values; None if they cannot be parsed, so that no stored hash equals it."""
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
    except _PARSE_ERRORS:
        return None


def _normalize(record: str) -> tuple[bytes, Any] | str:
    """Make the current record and its snapshot comparable: both hold the same value in different text.

    The numbers of `details` must agree in every digit, since one statement wrote both. As doubles, 2^53 and 2^53 + 1
    would be equal. Text that is no record is returned unchanged.
    """
    try:
        canonical = canonicalize(Audit.model_validate_json(record).model_dump(mode="json"))
        return canonical, json.loads(record, parse_int=Decimal, parse_float=Decimal)["details"]
    except _PARSE_ERRORS:
        return record


async def verify(connection: AsyncConnection) -> AsyncIterator[tuple[UUID, str]]:
    """Check the whole trail. Yields the id of a record and a sentence for each finding."""
    async for chain in _read_chains(connection):
        for finding in chain.findings:
            yield chain.audit_id, finding
    for finding, statement in _MORE_FINDINGS.items():
        async for audit_id in await connection.stream_scalars(statement, execution_options=_STREAM_OPTIONS):
            yield audit_id, finding


async def _read_chains(connection: AsyncConnection) -> AsyncIterator[Chain]:
    chain, count = None, 0
    async for values in await connection.stream(_REVISIONS, execution_options=_STREAM_OPTIONS):
        row = StoredRevision(*values)
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
    with exit_with_one_line("verify", _ADVICE_BY_SQLSTATE):
        sys.exit(asyncio.run(main()))
