"""The filters, the sort order and the keyset position of a list of records, as SQL."""

import re
import sys
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BindParameter, ColumnElement, Text, UnaryExpression, and_, bindparam, cast, or_, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from src import json_numbers
from src.audits.constants import PREFIX_MARK
from src.audits.models import audit
from src.audits.schemas import AuditFilter
from src.pagination import Order

_SORT_KEYS = (audit.c.occurred_at, audit.c.id)
_EQUALITY_FILTERS = ("entity_id", "actor_type", "actor_id", "correlation_id", "source", "event_id")
_NAME_FILTERS = ("action", "entity_type")
_NAME_PARAMETER = re.compile(rf"({'|'.join(_NAME_FILTERS)})(_from)?_\d+")


def parameters(wanted: AuditFilter) -> dict[str, Any]:
    """The SQL parameters of the filters that are set. `predicates` needs their names alone."""
    found = {name: value for name in _EQUALITY_FILTERS if (value := getattr(wanted, name)) is not None}
    for name, values in (
        ("action", wanted.action),
        ("entity_type", [wanted.entity_type] if wanted.entity_type else []),
    ):
        for number, value in enumerate(values):
            found |= _name_parameters(name, number, value)
    found |= {f"status_{number}": status for number, status in enumerate(wanted.status)}
    if wanted.occurred_from is not None:
        found["occurred_from"] = wanted.occurred_from
    if wanted.occurred_to is not None:
        found["occurred_to"] = wanted.occurred_to
    # An empty filter is left out, since every record contains {}.
    if wanted.details:
        spelled = enumerate(json_numbers.spell(wanted.details))
        found |= {f"details_{number}": to_json(details).decode() for number, details in spelled}
    return found


def _name_parameters(name: str, number: int, value: str) -> dict[str, str]:
    """The parameters of a name, or of the range of all names with a prefix.

    A range can use an index where LIKE with a parameter cannot, and no character of it has a special meaning.
    """
    if not value.endswith(PREFIX_MARK):
        return {f"{name}_{number}": value}
    prefix = value.removesuffix(PREFIX_MARK)
    end = _text_after(prefix)
    return {f"{name}_from_{number}": prefix} | ({f"{name}_to_{number}": end} if end else {})


def _text_after(prefix: str) -> str:
    """The first text, by code points, that comes after all texts with this prefix; empty if there is none."""
    head = prefix.rstrip(chr(sys.maxunicode))
    if not head:
        return ""
    following = ord(head[-1]) + 1
    # Surrogates are no characters.
    return head[:-1] + chr(0xE000 if following == 0xD800 else following)


def predicates(names: Collection[str]) -> list[ColumnElement[bool]]:
    """The predicates of the filters whose parameters have these names.

    A filter that is not set gets no predicate: `x = $1 OR $1 IS NULL` would keep the other filters from their indexes.
    """
    found: list[ColumnElement[bool]] = [audit.c[name] == bindparam(name) for name in _EQUALITY_FILTERS if name in names]
    alternatives: dict[str, list[ColumnElement[bool]]] = defaultdict(list)
    for name in names:
        if match := _NAME_PARAMETER.fullmatch(name):
            alternatives[match[1]].append(_name_predicate(audit.c[match[1]], name, names))
    found += [or_(*those) for those in alternatives.values()]
    statuses: list[BindParameter[str]] = [bindparam(name) for name in names if name.startswith("status_")]
    if statuses:
        found.append(audit.c.status.in_(statuses))
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
