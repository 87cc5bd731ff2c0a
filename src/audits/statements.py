"""The statements that read and change records, built once.

A change arrives as revisions in one JSON parameter: `audit_revision` takes them as they are and `audit` takes the
record in each, in one statement. Records come back as JSON, made by the database.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import (
    CTE,
    ColumnElement,
    Insert,
    Integer,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    delete,
    false,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.functions import FunctionElement

from src.audits.constants import MAX_DETAILS_BYTES
from src.audits.models import audit, audit_idempotency_key, audit_revision
from src.audits.revisions import Revision
from src.statement import Statement, as_object

_FIELDS = [column.name for column in audit.c if column.name != "hash"]

AS_OBJECT = as_object(audit.c[name] for name in _FIELDS)
AS_JSON = cast(AS_OBJECT, Text)

GET = Statement(select(AS_JSON).where(audit.c.id == bindparam("audit_id")))
# As text, so that the database finds out where the hash has another type by now.
LOCK = select(AS_JSON, func.encode(audit.c.hash, "hex")).where(audit.c.id == bindparam("audit_id")).with_for_update()


def _rows(function: FunctionElement[Any], name: str, table: Table, names: Iterable[str]) -> TableValuedAlias:
    """What a function makes of JSON, typed as the columns of `table`."""
    columns = [column(name, table.c[name].type) for name in names]
    return function.table_valued(*columns, name=name).render_derived(with_types=True)


def _as_jsonb(name: str) -> ColumnElement[Any]:
    return cast(bindparam(name, type_=Text), JSONB)


_given = _rows(func.jsonb_to_recordset(_as_jsonb("revisions")), "given", audit_revision, audit_revision.c.keys())
_revisions = select(*_given.c).cte("revisions")
_record = _rows(func.jsonb_to_record(_revisions.c.record), "record", audit, _FIELDS)
_same = _record.c.id == _revisions.c.audit_id


def _note(*conditions: ColumnElement[bool]) -> CTE:
    noted = select(*_revisions.c).where(*conditions)
    return insert(audit_revision).from_select(audit_revision.c.keys(), noted).cte("noted")


def create(*conditions: ColumnElement[bool]) -> Any:
    """Returns each record as JSON; creates nothing where a condition does not hold."""
    created = select(*_record.c, _revisions.c.hash).select_from(_revisions.join(_record, _same)).where(*conditions)
    return insert(audit).from_select([*_FIELDS, "hash"], created).returning(AS_JSON).add_cte(_note(*conditions))


CREATE = Statement(create())
UPDATE = (
    update(audit)
    .values({name: _record.c[name] for name in _FIELDS} | {"hash": _revisions.c.hash})
    .where(audit.c.id == _revisions.c.audit_id, _same)
    .returning(AS_JSON)
    .add_cte(_note())
)


def _insert_nothing(table: Table) -> Insert:
    (key, *_) = table.primary_key.columns
    return insert(table).from_select([key.name], select(key).where(false()), include_defaults=False)


NOTHING = _insert_nothing(audit).add_cte(
    _insert_nothing(audit_revision).cte("no_revision"), _insert_nothing(audit_idempotency_key).cte("no_key")
)
"""A write like any other to whatever decides where it goes, to a database that only reads, and to missing rights."""
DELETE = delete(audit).where(audit.c.id == _revisions.c.audit_id).add_cte(_note())

_details = (
    func.jsonb_array_elements(_as_jsonb("details"))
    .table_valued(column("value", JSONB), with_ordinality="position")
    .render_derived()
)
TOO_LARGE = Statement(
    select(cast(_details.c.position, Integer)).where(
        func.octet_length(cast(_details.c.value, Text)) > MAX_DETAILS_BYTES
    )
)
"""Positions, from 1, of those in a list of `details` that are."""


def parameters(revisions: Sequence[Revision]) -> dict[str, Any]:
    return {"revisions": to_json([_as_json(revision) for revision in revisions]).decode()}


def _as_json(revision: Revision) -> dict[str, Any]:
    """bytea as PostgreSQL reads it from text; everything else as it is."""
    return {name: f"\\x{value.hex()}" if isinstance(value, bytes) else value for name, value in vars(revision).items()}
