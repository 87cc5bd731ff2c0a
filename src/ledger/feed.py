"""The feed: revisions in the order of the ledger, as JSON that PostgreSQL writes."""

import re
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    any_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from src.audits.constants import PREFIX_MARK
from src.audits.models import audit_revision
from src.ledger.models import ledger_entry
from src.ledger.schemas import ChangeFilter
from src.pagination import Order
from src.shaped import json_object, text_array
from src.statement import Statement, cached_statement

# How many entries a page looks at: with filters it can hold fewer revisions than that, and even none.
LOOKED_AT = 2_000
ROWS_PER_FETCH = 150
_IN_RECORD = ("entity_id", "actor_id")
# A name, or a prefix of names.
_NAMES = ("action", "entity_type")

_INDEX = ledger_entry.c.index
# OFFSET 0: each revision is looked up by its key, in the order of the entries. PostgreSQL would join whole tables and
# sort them on disk before the first line of an export.
_REVISION = (
    select(audit_revision)
    .where(audit_revision.c.audit_id == ledger_entry.c.audit_id, audit_revision.c.version == ledger_entry.c.version)
    .offset(literal_column("0"))
    .lateral("revision")
)
_CHANGE = json_object(
    [
        _INDEX,
        _REVISION.c.audit_id,
        _REVISION.c.version,
        _REVISION.c.operation,
        _REVISION.c.changed_at,
        _REVISION.c.changed_by,
        _REVISION.c.reason,
        _REVISION.c.record,
        func.encode(ledger_entry.c.hash, "hex").label("hash"),
    ]
)


def parameters(wanted: ChangeFilter) -> dict[str, Any]:
    """The SQL parameters of the filters that are set."""
    names = ("changed_by", "changed_from", "changed_to")
    found = {name: value for name in names if (value := getattr(wanted, name)) is not None}
    found |= {f"operation_{number}": operation for number, operation in enumerate(wanted.operation)}
    # As tuples, since the parameters are a key of what followers share.
    found |= {name: tuple(values) for name in _IN_RECORD if (values := getattr(wanted, name))}
    for name in _NAMES:
        for number, value in enumerate(getattr(wanted, name)):
            prefix = value.removesuffix(PREFIX_MARK)
            found[f"{name}_{number}" if prefix == value else f"{name}_prefix_{number}"] = prefix
    return found


def _predicates(names: Collection[str]) -> list[ColumnElement[bool]]:
    """The predicates of the filters whose parameters have these names."""
    revision = _REVISION.c
    found: list[ColumnElement[bool]] = [
        _in_record(name) == any_(bindparam(name, type_=ARRAY(Text))) for name in _IN_RECORD if name in names
    ]
    if "changed_by" in names:
        found.append(revision.changed_by == bindparam("changed_by"))
    if "changed_from" in names:
        found.append(revision.changed_at >= bindparam("changed_from"))
    if "changed_to" in names:
        found.append(revision.changed_at < bindparam("changed_to"))
    if operations := [revision.operation == bindparam(name) for name in names if name.startswith("operation_")]:
        found.append(or_(*operations))
    return found + [
        or_(*named)
        for column in _NAMES
        if (named := [_is_named(column, name) for name in names if re.fullmatch(rf"{column}_(prefix_)?\d+", name)])
    ]


def _in_record(name: str) -> ColumnElement[str]:
    value: ColumnElement[str] = _REVISION.c.record[name].astext
    return value


def _is_named(column: str, name: str) -> ColumnElement[bool]:
    if "_prefix_" in name:
        return func.starts_with(_in_record(column), bindparam(name))
    return _in_record(column) == bindparam(name)


def _changes(names: Collection[str], order: Order, *columns: ColumnElement[Any]) -> Select[Any]:
    """The revisions whose index is at least `begin` and less than `end`."""
    return (
        select(*columns)
        .select_from(ledger_entry.join(_REVISION, true()))
        .where(bindparam("begin") <= _INDEX, bindparam("end") > _INDEX, *_predicates(names))
        .order_by(_INDEX.desc() if order is Order.DESC else _INDEX)
    )


@cached_statement
def page_statement(names: tuple[str, ...], order: Order) -> Statement:
    """Selects one array of changes, each as JSON, and the last index that is there, whether it matches or not.

    `names` are those of the filters' parameters. The index of a redacted revision is still there.
    """
    limited = _changes(names, order, _CHANGE.label("item")).limit(bindparam("limit", type_=Integer)).subquery()
    looked_at = select(func.max(_INDEX)).where(bindparam("begin") <= _INDEX, bindparam("end") > _INDEX)
    return Statement(select(text_array(limited), looked_at.scalar_subquery()))


@cached_statement
def export_statement(names: tuple[str, ...]) -> Statement:
    """Selects the changes, each as JSON."""
    return Statement(_changes(names, Order.ASC, _CHANGE))
