"""The filters, the sort order and the keyset position of a list of records, as SQL."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BindParameter, ColumnElement, Text, UnaryExpression, and_, bindparam, cast, or_, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from src import json_numbers
from src.audits.models import audit
from src.audits.schemas import AuditFilter
from src.pagination import Order

_SORT_KEYS = (audit.c.occurred_at, audit.c.id)
_EQUALITY_FILTERS = ("entity_type", "entity_id", "actor_type", "actor_id", "correlation_id")


def parameters(wanted: AuditFilter) -> dict[str, Any]:
    """The SQL parameters of the filters that are set. `predicates` needs their names alone."""
    found = {name: value for name in _EQUALITY_FILTERS if (value := getattr(wanted, name)) is not None}
    for number, action in enumerate(wanted.action):
        if action.endswith(".*"):
            # A range can use an index where LIKE with a parameter cannot. "/" is the character after ".".
            prefix = action.removesuffix("*")
            found |= {f"action_from_{number}": prefix, f"action_to_{number}": prefix.removesuffix(".") + "/"}
        else:
            found[f"action_{number}"] = action
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


def predicates(names: Collection[str]) -> list[ColumnElement[bool]]:
    """The predicates of the filters whose parameters have these names.

    A filter that is not set gets no predicate: `x = $1 OR $1 IS NULL` would keep the other filters from their indexes.
    """
    found: list[ColumnElement[bool]] = [audit.c[name] == bindparam(name) for name in _EQUALITY_FILTERS if name in names]
    if actions := [_action_predicate(name) for name in names if re.fullmatch(r"action(_from)?_\d+", name)]:
        found.append(or_(*actions))
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


def _action_predicate(name: str) -> ColumnElement[bool]:
    if not name.startswith("action_from_"):
        return audit.c.action == bindparam(name)
    end = name.replace("from", "to")
    return and_(audit.c.action >= bindparam(name), audit.c.action < bindparam(end))


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
