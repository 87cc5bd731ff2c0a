"""JSON that PostgreSQL writes, and that the service sends as it is.

What it does: statements return each record as the text of a JSON object (`json_object`). The service validates the
text, because a row may have been written without the service, and sends it unchanged.

Why: Pydantic would take time to write the record again (tests/benchmarks/README.md). And a version has the same bytes
in every answer, as its `ETag` promises, because there is only one writer.

It is no option of `FAST_PATHS`: another writer would write other bytes. The JSON is the same as Pydantic's, except in
`jsonb` columns: there PostgreSQL puts a blank after each comma and colon, and writes numbers without an exponent.
Only an answer gives them one (`src/json_numbers.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, DateTime, Subquery, Text, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement

T = TypeVar("T")

# TZ is empty. If another release has taken the time zone from a column, it is not: then no model accepts the time.
_TIME_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"TZ'


@dataclass(frozen=True, slots=True)
class Shaped(Generic[T]):
    """A validated value, and the JSON from which it was read."""

    value: T
    json: str


def json_object(columns: Iterable[KeyedColumnElement[Any]]) -> ColumnElement[str]:
    """A row as the text of a JSON object. It has only these columns, even after the next release has added others."""
    columns = list(columns)
    members = ",".join(f'"{column.key}":%s' for column in columns)
    return func.format(literal_column(f"'{{{members}}}'"), *map(_json_value, columns), type_=Text)


def _json_value(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not isinstance(column.type, DateTime):
        return func.coalesce(func.to_json(column), literal_column("'null'::json"))
    # As Pydantic writes it: six digits of the second, or none. PostgreSQL's own JSON leaves out the last zeros.
    time = func.replace(utc_text(column, quote=r"\""), literal_column("'.000000Z'"), literal_column("'Z'"))
    return func.coalesce(time, literal_column("'null'"))


def utc_text(time: ColumnElement[Any], quote: str = "") -> ColumnElement[str]:
    """The time in UTC with six digits of the second, such as `2026-01-31T12:00:00.250000Z`."""
    form: ColumnElement[str] = literal_column(f"'{quote}{_TIME_FORMAT}{quote}'")
    return func.to_char(func.timezone(literal_column("'UTC'"), time), form, type_=Text)


def text_array(items: Subquery) -> ColumnElement[list[str]]:
    """The column `item` of all rows as one array."""
    array = func.coalesce(func.array_agg(items.c.item), literal_column("'{}'"), type_=ARRAY(Text))
    return select(array).scalar_subquery()


def json_array(items: Iterable[str]) -> str:
    """The items, each of which is JSON, as an array."""
    return f"[{','.join(items)}]"
