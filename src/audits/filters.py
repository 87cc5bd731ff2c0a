"""The filters, the sort order and the keyset position of a list of records, as SQL."""

import re
import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Text, UnaryExpression, and_, any_, bindparam, cast, or_, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from src import json_numbers
from src.audits.constants import PREFIX_MARK
from src.audits.models import audit
from src.audits.schemas import AuditFilter
from src.pagination import Order

_SORT_KEYS = (audit.c.occurred_at, audit.c.id)
_SINGLE_FILTERS = ("actor_type", "correlation_id", "source", "event_id")
_VALUE_FILTERS = ("entity_id", "actor_id", "status")
# Each value is a name or a prefix.
_NAME_FILTERS = ("action", "entity_type")
_NAME_PARAMETER = re.compile(rf"({'|'.join(_NAME_FILTERS)})(_from)?_\d+")


def parameters(wanted: AuditFilter) -> dict[str, Any]:
    """The SQL parameters of the filters that are set. `predicates` needs their names alone."""
    found = {name: value for name in _SINGLE_FILTERS if (value := getattr(wanted, name)) is not None}
    for name in _VALUE_FILTERS:
        found |= _value_parameters(name, getattr(wanted, name))
    for name in _NAME_FILTERS:
        for number, value in enumerate(getattr(wanted, name)):
            found |= _name_parameters(name, number, value)
    if wanted.occurred_from is not None:
        found["occurred_from"] = wanted.occurred_from
    if wanted.occurred_to is not None:
        found["occurred_to"] = wanted.occurred_to
    # An empty filter is left out, since every record contains {}.
    if wanted.details:
        spelled = enumerate(json_numbers.spell(wanted.details))
        found |= {f"details_{number}": to_json(details).decode() for number, details in spelled}
    return found


def _value_parameters(name: str, values: Sequence[str]) -> dict[str, Any]:
    """The parameter of a single value, or that of several.

    With one value an index also gives the order, so the two get different predicates.
    """
    if not values:
        return {}
    first, *others = dict.fromkeys(values)
    return {f"{name}_any": [first, *others]} if others else {name: first}


def _name_parameters(name: str, number: int, value: str) -> dict[str, str]:
    """The parameters of a name, or of the range of all names with a prefix."""
    if not value.endswith(PREFIX_MARK):
        return {f"{name}_{number}": value}
    start, end = prefix_range(value.removesuffix(PREFIX_MARK))
    return {f"{name}_from_{number}": start} | ({f"{name}_to_{number}": end} if end else {})


def prefix_range(prefix: str) -> tuple[str, str]:
    """The first text with the prefix, and the first one behind all texts with it; empty if there is none.

    A range can use an index where LIKE with a parameter cannot, and no character of it has a special meaning.
    """
    head = prefix.rstrip(chr(sys.maxunicode))
    if not head:
        return prefix, ""
    following = ord(head[-1]) + 1
    # Surrogates are no characters.
    return prefix, head[:-1] + chr(0xE000 if following == 0xD800 else following)


def predicates(names: Collection[str]) -> list[ColumnElement[bool]]:
    """The predicates of the filters whose parameters have these names.

    A filter that is not set gets no predicate: `x = $1 OR $1 IS NULL` would keep the other filters from their indexes.
    """
    found: list[ColumnElement[bool]] = [
        audit.c[name] == bindparam(name) for name in (*_SINGLE_FILTERS, *_VALUE_FILTERS) if name in names
    ]
    found += [
        audit.c[name] == any_(bindparam(f"{name}_any", type_=ARRAY(Text)))
        for name in _VALUE_FILTERS
        if f"{name}_any" in names
    ]
    alternatives: dict[str, list[ColumnElement[bool]]] = defaultdict(list)
    for name in names:
        if match := _NAME_PARAMETER.fullmatch(name):
            alternatives[match[1]].append(_name_predicate(audit.c[match[1]], name, names))
    found += [or_(*those) for those in alternatives.values()]
    if "occurred_from" in names:
        found.append(audit.c.occurred_at >= bindparam("occurred_from"))
    if "occurred_to" in names:
        found.append(audit.c.occurred_at < bindparam("occurred_to"))
    if details := [_details_predicate(name) for name in names if name.startswith("details_")]:
        found.append(or_(*details))
    return found


def _name_predicate(column: ColumnElement[str], name: str, names: Collection[str]) -> ColumnElement[bool]:
    if "_from_" not in name:
        return column == bindparam(name)
    end = name.replace("_from_", "_to_")
    start = column >= bindparam(name)
    return and_(start, column < bindparam(end)) if end in names else start


def _details_predicate(name: str) -> ColumnElement[bool]:
    return audit.c.details.contains(cast(bindparam(name, type_=Text), JSONB))


def sort_order(order: Order) -> list[UnaryExpression[datetime] | UnaryExpression[UUID]]:
    """The ORDER BY clause: by time, then by id."""
    return [key.desc() if order is Order.DESC else key.asc() for key in _SORT_KEYS]


def keyset_predicate(order: Order) -> ColumnElement[bool]:
    """Keyset pagination: whether a record comes after the one with `last_occurred_at` and `last_id`.

    Both columns are compared as one row, so that one index serves them.
    """
    keys, last = tuple_(*_SORT_KEYS), tuple_(*(bindparam(f"last_{key.name}", type_=key.type) for key in _SORT_KEYS))
    return keys < last if order is Order.DESC else keys > last
