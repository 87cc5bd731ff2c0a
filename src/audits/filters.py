"""Filters, order and position of a list of records, as SQL."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, UnaryExpression, and_, or_, tuple_

from src.audits.models import audit
from src.audits.schemas import AuditFilter
from src.pagination import Order

_KEYS = (audit.c.occurred_at, audit.c.id)
_EXACT = ("entity_type", "entity_id", "actor_type", "actor_id", "correlation_id")


def conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    """A predicate for each filter that is set; one that is not set would keep the others from their indexes."""
    found: list[ColumnElement[bool]] = [
        audit.c[name] == value for name in _EXACT if (value := getattr(wanted, name)) is not None
    ]
    if wanted.action:
        found.append(or_(*map(_action_matches, wanted.action)))
    if wanted.status:
        found.append(audit.c.status.in_(wanted.status))
    if wanted.occurred_from is not None:
        found.append(audit.c.occurred_at >= wanted.occurred_from)
    if wanted.occurred_to is not None:
        found.append(audit.c.occurred_at < wanted.occurred_to)
    # Every record contains {}.
    if wanted.details:
        found.append(audit.c.details.contains(wanted.details))
    return found


def _action_matches(action: str) -> ColumnElement[bool]:
    if not action.endswith(".*"):
        return audit.c.action == action
    # A range, which an index serves also where LIKE with a parameter cannot: "/" is the character after ".".
    prefix = action.removesuffix("*")
    return and_(audit.c.action >= prefix, audit.c.action < prefix.removesuffix(".") + "/")


def ordering(order: Order) -> list[UnaryExpression[datetime] | UnaryExpression[UUID]]:
    return [key.desc() if order is Order.DESC else key.asc() for key in _KEYS]


def behind(position: tuple[datetime, UUID], order: Order) -> ColumnElement[bool]:
    """What comes after `position`, compared as a row, so that one index serves both columns."""
    keys = tuple_(*_KEYS)
    return keys < position if order is Order.DESC else keys > position
