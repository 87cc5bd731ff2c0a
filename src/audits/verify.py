"""What must hold of the revisions of a record, and what does not. `src/ledger/verify.py` reads them and is the command.

A trail has millions of them. So what is nearly always equal is first compared in a fast way, which can only say "equal"
or "look closer".
"""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Select, Text, and_, case, func, or_, select

from src.audits.constants import FIRST_VERSION, Operation
from src.audits.models import audit, audit_event, audit_revision
from src.audits.revisions import canonicalize, compute_hash
from src.audits.schemas import Audit
from src.audits.statements import AS_JSON, is_first_of

# A tampered row can hold any value. So times and JSON are read as text, and each row is parsed by itself.
# Errors that parsing a tampered row can raise: for a year that Python does not support, a number that no double or no
# decimal holds, or JSON that is nested too deeply.
_PARSE_ERRORS = (ValueError, ArithmeticError, RecursionError)
WITHOUT_REVISION = select(audit.c.id).where(
    ~select(audit_revision.c.audit_id).where(audit_revision.c.audit_id == audit.c.id).exists()
)
# Not as members: a comparison of text with them takes longer.
_OPERATIONS = frozenset(map(str, Operation))
_EVENT_MEMBERS = ("source", "event_id")
_first_source, _first_event_id = (audit_revision.c.record[name].astext for name in _EVENT_MEMBERS)
_is_of_first = is_first_of(audit_event.c.audit_id)
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
MORE_FINDINGS: dict[str, Select[*tuple[Any, ...]]] = {
    "the record has no revision": WITHOUT_REVISION,
    "its source and event_id are not kept, so the event could be recorded again": _WITHOUT_EVENT,
    "an event is kept for it that its first version does not name": _OTHER_EVENT,
}


class StoredRevision(NamedTuple):
    """A stored revision as `columns` reads it.

    The last one of a record also has the current record, the text of its details and its hash, unless the record was
    removed; and the first snapshot, if the last one has no event.
    """

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
    current_details: str | None
    current_hash: bytes | None
    first_record: str | None


class Predecessor(NamedTuple):
    """The version before."""

    version: int
    operation: str
    hash: bytes


def columns(is_last: ColumnElement[bool]) -> list[ColumnElement[Any]]:
    """The columns of a `StoredRevision`, of `audit_revision` joined with `audit`."""
    revision = audit_revision.c
    first = audit_revision.alias("first")
    first_record = (
        select(first.c.record.cast(Text))
        .where(first.c.audit_id == revision.audit_id)
        .order_by(first.c.version)
        .limit(1)
        .scalar_subquery()
    )
    # Not a subscript, which PostgreSQL has for jsonb only: a change of the column's type is to be found, too.
    no_event = and_(
        *(revision.record.op("->")(name).is_(None) for name in _EVENT_MEMBERS), revision.version > FIRST_VERSION
    )
    is_there = and_(is_last, audit.c.id.is_not(None))
    return [
        revision.audit_id,
        revision.version,
        revision.operation,
        func.to_json(revision.changed_at).cast(Text).label("changed_at"),
        revision.changed_by,
        revision.reason,
        revision.record.cast(Text).label("record"),
        revision.salt,
        revision.previous_hash,
        revision.hash,
        case((is_there, AS_JSON)).label("current_record"),
        case((is_there, audit.c.details.cast(Text))).label("current_details"),
        audit.c.hash.label("current_hash"),
        case((and_(is_last, no_event), first_record)).label("first_record"),
    ]


def check(row: StoredRevision, last: Predecessor | None, *, is_last: bool) -> Iterator[str]:
    """What does not hold of a revision after the one before it, and of the record after its last revision."""
    record = _parse(row.record)
    yield from _check_revision(row, record, last)
    if is_last:
        yield from _check_current_record(row, record)


def _parse(record: str) -> Any:
    """The value of a snapshot; None if it cannot be read, and it is never null."""
    try:
        return from_json(record)
    except _PARSE_ERRORS:
        return None


def _check_revision(row: StoredRevision, record: Any, last: Predecessor | None) -> Iterator[str]:
    if _recompute_hash(row, record) != row.hash:
        yield f"version {row.version} is not what was recorded: its hash does not agree"
    if row.previous_hash != (last.hash if last else None):
        yield f"version {row.version} does not follow the one before: its previous hash does not agree"
    if last and row.version != last.version + 1:
        yield f"{_describe_gap(last.version, row.version)} is missing"
    if last and last.operation == Operation.DELETE:
        yield f"version {row.version} comes after the deletion"
    if (last is None) != (row.operation == Operation.CREATE):
        yield f"version {row.version} is a {row.operation}" + ("" if last else ": the first is missing")


def _check_current_record(last: StoredRevision, record: Any) -> Iterator[str]:
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
    if not _is_same_text(last, record) and _normalize(last.current_record) != _normalize(
        _with_event(last.record, last.first_record or last.record)
    ):
        yield f"the record is not what version {last.version} says"


def _is_same_text(last: StoredRevision, record: Any) -> bool:
    """Whether record and snapshot agree without a closer look.

    Their members must be equal, in which numbers are doubles, and the text of `details` must stand in the snapshot as
    it is. It cannot stand there elsewhere: then `details` would contain what is equal to itself.
    """
    if record is None or f'"details": {last.current_details}' not in last.record:
        return False
    return bool(_parse(last.current_record or "") == record)


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


def _recompute_hash(row: StoredRevision, record: Any) -> bytes | None:
    """The hash of the stored values; None if they cannot be parsed, so that no stored hash equals it."""
    if record is None or row.operation not in _OPERATIONS:
        return None
    try:
        return compute_hash(
            {
                "salt": row.salt,
                "previous_hash": row.previous_hash,
                "audit_id": str(row.audit_id),
                "version": row.version,
                "operation": row.operation,
                "changed_at": datetime.fromisoformat(from_json(row.changed_at)),
                "changed_by": row.changed_by,
                "reason": row.reason,
                "record": record,
            }
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
