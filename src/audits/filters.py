"""Filters, order and position of a list of records, as SQL."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BindParameter, ColumnElement, Text, UnaryExpression, and_, bindparam, cast, or_, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from src.audits.models import audit
from src.audits.schemas import AuditFilter
from src.pagination import Order

_KEYS = (audit.c.occurred_at, audit.c.id)
_EXACT = ("entity_type", "entity_id", "actor_type", "actor_id", "correlation_id")


def values(wanted: AuditFilter) -> dict[str, Any]:
    """The parameter of each filter that is set. Their names alone say which SQL takes them, see `conditions`."""
    found = {name: value for name in _EXACT if (value := getattr(wanted, name)) is not None}
    for number, action in enumerate(wanted.action):
        if action.endswith(".*"):
            # A range, which an index serves also where LIKE with a parameter cannot: "/" is the character after ".".
            prefix = action.removesuffix("*")
            found |= {f"action_from_{number}": prefix, f"action_to_{number}": prefix.removesuffix(".") + "/"}
        else:
            found[f"action_{number}"] = action
    found |= {f"status_{number}": status for number, status in enumerate(wanted.status)}
    if wanted.occurred_from is not None:
        found["occurred_from"] = wanted.occurred_from
    if wanted.occurred_to is not None:
        found["occurred_to"] = wanted.occurred_to
    # Every record contains {}.
    if wanted.details:
        found["details"] = to_json(wanted.details).decode()
    return found


def conditions(names: Collection[str]) -> list[ColumnElement[bool]]:
    """A predicate for each filter that is set; one that is not set would keep the others from their indexes."""
    found: list[ColumnElement[bool]] = [audit.c[name] == bindparam(name) for name in _EXACT if name in names]
    if actions := [_action_matches(name) for name in names if re.fullmatch(r"action(_from)?_\d+", name)]:
        found.append(or_(*actions))
    statuses: list[BindParameter[str]] = [bindparam(name) for name in names if name.startswith("status_")]
    if statuses:
        found.append(audit.c.status.in_(statuses))
    if "occurred_from" in names:
        found.append(audit.c.occurred_at >= bindparam("occurred_from"))
    if "occurred_to" in names:
        found.append(audit.c.occurred_at < bindparam("occurred_to"))
    if "details" in names:
        found.append(audit.c.details.contains(cast(bindparam("details", type_=Text), JSONB)))
    return found


def _action_matches(name: str) -> ColumnElement[bool]:
    if not name.startswith("action_from_"):
        return audit.c.action == bindparam(name)
    end = name.replace("from", "to")
    return and_(audit.c.action >= bindparam(name), audit.c.action < bindparam(end))


def ordering(order: Order) -> list[UnaryExpression[datetime] | UnaryExpression[UUID]]:
    return [key.desc() if order is Order.DESC else key.asc() for key in _KEYS]


def behind(order: Order) -> ColumnElement[bool]:
    """What comes after `last_occurred_at` and `last_id`, compared as a row, so that one index serves both columns."""
    keys, last = tuple_(*_KEYS), tuple_(*(bindparam(f"last_{key.name}", type_=key.type) for key in _KEYS))
    return keys < last if order is Order.DESC else keys > last
