"""The statements that read and change records. They are compiled once, at import.

A change is one statement with one parameter: the new revisions as JSON. The statement inserts them into
`audit_revision`, and writes the record that each revision contains to `audit`. PostgreSQL returns records as JSON.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import orjson
from sqlalchemy import (
    CTE,
    ColumnElement,
    Insert,
    Integer,
    Table,
    TableValuedAlias,
    Text,
    and_,
    bindparam,
    cast,
    column,
    delete,
    exists,
    false,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate
from sqlalchemy.sql.functions import FunctionElement

from src.audits.constants import FIRST_VERSION, MAX_DETAILS_BYTES
from src.audits.exceptions import DetailsTooLarge
from src.audits.models import audit, audit_event, audit_idempotency_key, audit_revision
from src.audits.revisions import Revision
from src.audits.schemas import Audit
from src.database import constraint_of
from src.shaped import ShapedReader, json_object
from src.statement import Statement

FIELDS = [column.name for column in audit.c if column.name != "hash"]
# PostgreSQL itself sets `xid`.
_REVISION_FIELDS = [column.name for column in audit_revision.c if column.name != "xid"]

AS_JSON = json_object(audit.c[name] for name in FIELDS)


class StoredAudit(Protocol):
    """What is needed of a record that is sent as PostgreSQL wrote it."""

    id: UUID
    occurred_at: datetime
    version: int


READER = ShapedReader[StoredAudit](Audit)
"""Reads what `AS_JSON` selects."""

ON_PRIMARY = func.pg_is_in_recovery().is_not(None)
"""Always true. The read before a write must not go to a standby, which may be behind: pgpool sends a statement with a
volatile function to the primary
(https://www.pgpool.net/docs/latest/en/html/runtime-config-load-balancing.html#GUC-WRITE-FUNCTION-LIST)."""

GET = Statement(select(AS_JSON).where(audit.c.id == bindparam("audit_id")))
# The hash as text: if a later release changes the column's type, PostgreSQL reports it.
GET_WITH_HASH = Statement(
    select(AS_JSON, func.encode(audit.c.hash, "hex")).where(audit.c.id == bindparam("audit_id"), ON_PRIMARY)
)


def typed_rows(function: FunctionElement[Any], name: str, table: Table, names: Iterable[str]) -> TableValuedAlias:
    """The rows that a JSON function returns, with the column types of `table`."""
    columns = [column(name, table.c[name].type) for name in names]
    return function.table_valued(*columns, name=name).render_derived(with_types=True)


def _as_jsonb(name: str) -> ColumnElement[Any]:
    return cast(bindparam(name, type_=Text), JSONB)


FIRST_RECORD = typed_rows(func.jsonb_to_record(audit_revision.c.record), "first_record", audit, FIELDS)
"""The record in `audit_revision`, to be joined with its first revision."""


def is_first_of(audit_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a row of `audit_revision` is the first revision of this record."""
    return and_(audit_revision.c.audit_id == audit_id, audit_revision.c.version == FIRST_VERSION)


_given_revisions = typed_rows(
    func.jsonb_to_recordset(_as_jsonb("revisions")), "given", audit_revision, _REVISION_FIELDS
)
_revisions = select(*_given_revisions.c).cte("revisions")
_record = typed_rows(func.jsonb_to_record(_revisions.c.record), "record", audit, FIELDS)
_is_same_audit = _record.c.id == _revisions.c.audit_id


def _insert_revisions(*predicates: ColumnElement[bool]) -> CTE:
    inserted = select(*_revisions.c).where(*predicates)
    return insert(audit_revision).from_select(_REVISION_FIELDS, inserted).cte("inserted")


def insert_records(*predicates: ColumnElement[bool]) -> Any:
    """Inserts the records and their revisions if all predicates hold. Returns each record as JSON, and its id."""
    records = _revisions.join(_record, _is_same_audit)
    rows = select(*_record.c, _revisions.c.hash).select_from(records).where(*predicates)
    statement = insert(audit).from_select([*FIELDS, "hash"], rows).returning(AS_JSON, audit.c.id)
    return statement.add_cte(_insert_revisions(*predicates))


CREATE = Statement(insert_records())
# The record still has the version before: nobody else has changed it since it was read.
_is_unchanged = and_(audit.c.id == _revisions.c.audit_id, audit.c.version == _revisions.c.version - literal_column("1"))


def _change(change: ReturningUpdate[Any] | ReturningDelete[Any]) -> Statement:
    """Carries out `change` and inserts the revision, or does neither. Returns the record as JSON, if it was changed."""
    changed = change.cte("changed")
    return Statement(select(changed.c.record).add_cte(_insert_revisions(exists(select(changed.c.record)))))


UPDATE = _change(
    update(audit)
    .values({name: _record.c[name] for name in FIELDS} | {"hash": _revisions.c.hash})
    .where(_is_unchanged, _is_same_audit)
    .returning(AS_JSON.label("record"))
)
DELETE = _change(delete(audit).where(_is_unchanged).returning(AS_JSON.label("record")))


def _insert_no_row(table: Table) -> Insert:
    columns = [column for column in table.c if column.name != "xid"]
    names = [column.name for column in columns]
    return insert(table).from_select(names, select(*columns).where(false()), include_defaults=False)


def _change_no_row(table: Table, name: str) -> tuple[CTE, CTE]:
    """An update and a delete that find no row, so that PostgreSQL checks the rights for both.

    The update sets `name`, which the service sets too: a role may have the right for some columns only.
    """
    changed = update(table).values({name: table.c[name]}).where(false())
    return changed.cte(f"no_update_of_{table.name}"), delete(table).where(false()).cte(f"no_delete_of_{table.name}")


WRITE_NOTHING = _insert_no_row(audit).add_cte(
    _insert_no_row(audit_revision).cte("no_revision"),
    _insert_no_row(audit_idempotency_key).cte("no_key"),
    _insert_no_row(audit_event).cte("no_event"),
    *_change_no_row(audit, "version"),
    *_change_no_row(audit_idempotency_key, "expires_at"),
)
"""Writes no row of the tables of a record. It is a write all the same: a balancer sends it to the primary, and a
standby, a missing table, a missing column or a missing right refuses it."""

_details = (
    func.jsonb_array_elements(_as_jsonb("details"))
    .table_valued(column("value", JSONB), with_ordinality="position")
    .render_derived()
)
OVERSIZED_DETAILS = Statement(
    select(cast(_details.c.position, Integer)).where(
        func.octet_length(cast(_details.c.value, Text)) > MAX_DETAILS_BYTES
    )
)
"""Takes a JSON array of `details`, and returns the positions, from 1, of those that are too large."""


def parameters(revisions: Sequence[Revision]) -> dict[str, Any]:
    """The SQL parameters of the statements that change records."""
    try:
        text = orjson.dumps([*revisions], default=_as_text).decode()
    except orjson.JSONEncodeError:
        # orjson refuses integers of more than 64 bits.
        text = json.dumps([*map(vars, revisions)], default=_as_text)
    return {"revisions": text}


def _as_text(value: Any) -> str:
    """A value that JSON does not have, as PostgreSQL reads it."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


@contextmanager
def translate_size_check() -> Iterator[None]:
    """Raise `DetailsTooLarge` if PostgreSQL refuses the size.

    Only PostgreSQL knows the size: it prints 1e308 with 309 digits.
    """
    try:
        yield
    except IntegrityError as error:
        if constraint_of(error) != "audit_details_size_check":
            raise
        raise DetailsTooLarge([("body", "details")]) from None
