"""Driving filters: the one filter whose index an estimate reads. The index has its records in the order of time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Text, bindparam, literal_column, select

from src.audits.models import audit
from src.bounded_reads import BoundedReads
from src.statement import Statement

# The filters that can drive, those first that usually find least.
_CAN_DRIVE = (
    *("event_id", "correlation_id", "entity_id", "actor_id", "status", "source", "action", "entity_type", "actor_type"),
)
# Of how many filters, at most, the entries are counted to choose the one with the fewest.
_MAX_CANDIDATES = 3
# How many values a driving filter may have, each of which is a part of its index.
_MAX_VALUES = 16


@dataclass(frozen=True)
class DrivingFilter:
    """`column` is None where the index of times is read.

    `own` are the names of its parameters, and `rest` those of the other filters; neither has the times.
    """

    column: str | None
    values: Sequence[str]
    own: tuple[str, ...]
    rest: tuple[str, ...]


async def find_driving_filters(reads: BoundedReads, wanted: Mapping[str, Any]) -> list[DrivingFilter]:
    """The filters of these parameters that can drive; the index of times if none can."""
    names = tuple(name for name in wanted if name not in ("occurred_from", "occurred_to"))
    found = []
    for name in _CAN_DRIVE:
        own = tuple(each for each in names if each == name or each.startswith(f"{name}_"))
        values = await _values(reads, name, {each: wanted[each] for each in own})
        if 0 < len(values) <= _MAX_VALUES:
            found.append(DrivingFilter(name, values, own, tuple(each for each in names if each not in own)))
    return found[:_MAX_CANDIDATES] or [DrivingFilter(None, (), (), names)]


async def _values(reads: BoundedReads, name: str, parameters: Mapping[str, Any]) -> list[str]:
    """The values of a filter. A prefix has those that begin so, since its index has names before times."""
    values: dict[str, None] = {}
    for parameter, value in parameters.items():
        if "_from_" in parameter:
            end = parameters.get(parameter.replace("_from_", "_to_"), "")
            values |= dict.fromkeys(await read_values(reads, name, value, end, _MAX_VALUES + 1))
        elif "_to_" not in parameter:
            values |= dict.fromkeys([value] if isinstance(value, str) else value)
    return [*values]


async def read_values(reads: BoundedReads, field: str, start: str, end: str, limit: int) -> list[str]:
    """The first values of a field from `start` on, and before `end` if it is not empty. Raises `DatabaseTimeout`."""
    parameters = {"start": start, "limit": limit} | ({"end": end} if end else {})
    return [value for (value,) in await reads.fetch(_values_statement(field, bool(end)), **parameters)]


@lru_cache
def _values_statement(field: str, has_end: bool) -> Statement:
    """Selects values by a loose index scan: https://wiki.postgresql.org/wiki/Loose_indexscan."""
    value = audit.c[field]
    ends = [value < bindparam("end", type_=Text)] if has_end else []

    def first(start: ColumnElement[bool]) -> Select[Any]:
        return select(value.label("value")).where(start, *ends).order_by(value).limit(literal_column("1"))

    found = first(value >= bindparam("start", type_=Text)).subquery()
    values = select(found.c.value).cte("found_values", recursive=True)
    following = first(value > values.c.value).scalar_subquery()
    values = values.union_all(select(following).where(values.c.value.is_not(None)))
    listed = select(values.c.value).where(values.c.value.is_not(None))
    return Statement(listed.limit(bindparam("limit", type_=Integer)))
