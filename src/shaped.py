"""JSON that PostgreSQL writes, and that is sent as it is.

Why: to write a page of 20 takes Pydantic as long as to validate it. And what has one writer has the same bytes in every
answer, as its `ETag` promises. What PostgreSQL has written is validated all the same: a row may be written without the
service.

The JSON is what Pydantic would write, but for the values of `jsonb` columns: within these PostgreSQL puts a blank after
each comma and colon, and writes numbers without an exponent. Only an answer gives them one (`src/json_numbers.py`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, DateTime, Subquery, Text, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement

T = TypeVar("T")

# TZ is empty, unless a column has lost its time zone in another release: then no model takes the time.
_TIME_FORMAT: ColumnElement[str] = literal_column(r"""'\"YYYY-MM-DD"T"HH24:MI:SS.US"Z"TZ\"'""")


@dataclass(frozen=True, slots=True)
class Shaped(Generic[T]):
    """A validated value, and the JSON from which it was read."""

    value: T
    json: str


def json_object(columns: Iterable[KeyedColumnElement[Any]]) -> ColumnElement[str]:
    """A row as the text of a JSON object. It has only these columns, even if the next release adds others."""
    columns = list(columns)
    members = ",".join(f'"{column.key}":%s' for column in columns)
    return func.format(literal_column(f"'{{{members}}}'"), *map(_json_value, columns), type_=Text)


def _json_value(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not isinstance(column.type, DateTime):
        return func.coalesce(func.to_json(column), literal_column("'null'::json"))
    # As Pydantic writes it: six digits of the second, or none. PostgreSQL's own JSON leaves out the last zeros.
    time = func.to_char(func.timezone(literal_column("'UTC'"), column), _TIME_FORMAT)
    time = func.replace(time, literal_column("'.000000Z'"), literal_column("'Z'"))
    return func.coalesce(time, literal_column("'null'"))


def text_array(items: Subquery) -> ColumnElement[list[str]]:
    """The column `item` of all rows as one array."""
    array = func.coalesce(func.array_agg(items.c.item), literal_column("'{}'"), type_=ARRAY(Text))
    return select(array).scalar_subquery()


def json_array(items: Iterable[str]) -> str:
    """The items, each of which is JSON, as an array."""
    return f"[{','.join(items)}]"
