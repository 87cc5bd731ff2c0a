"""JSON that PostgreSQL writes, and that the service sends as it is.

What it does: statements return each record as the text of a JSON object (`json_object`). The service validates the
text (`ShapedReader`), because a row may have been written without the service, and sends it unchanged.

Why: Pydantic would take time to write the record again, and most of a page to make its objects
(tests/benchmarks/README.md). And a version has the same bytes in every answer, as its `ETag` promises, because there is
only one writer.

It is no option of `FAST_PATHS`: another writer would write other bytes. The JSON is the same as Pydantic's, except in
`jsonb` columns: there PostgreSQL puts a blank after each comma and colon, and writes numbers without an exponent.
Only an answer gives them one (`src/json_numbers.py`). To switch off `ShapedReader`, use a `TypeAdapter` of Pydantic.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from pydantic import AwareDatetime, BaseModel, TypeAdapter
from sqlalchemy import ColumnElement, DateTime, Integer, Subquery, Text, func, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import KeyedColumnElement

T = TypeVar("T")

_LINE_BREAKS = {"\u0085": r"\u0085", "\u2028": r"\u2028", "\u2029": r"\u2029"}

# TZ writes nothing, unless another release has taken the time zone from a column: then no model accepts the time.
_TIME_FORMAT = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"TZ'


class _Unread(msgspec.Struct, gc=False):
    """A JSON object whose members are not read."""


# The type by which msgspec reads what has another type in the model.
_TYPES: dict[Any, Any] = {
    AwareDatetime: Annotated[datetime, msgspec.Meta(tz=True)],
    dict[str, Any]: _Unread,
}


@dataclass(frozen=True, slots=True)
class Shaped(Generic[T]):
    """A validated value, and the JSON from which it was read."""

    value: T
    json: str


class ShapedReader(Generic[T]):
    """Validates JSON that PostgreSQL has written, by a model that has only types: no constraints and no validators.

    msgspec takes a quarter of Pydantic's time. What it refuses, Pydantic gets. It accepts two things that Pydantic
    refuses, and that only SQL can write into `details`: 199 levels and more, and integers of more than 4,300 digits.
    These are sent as they are stored.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        """Raises `TypeError` if msgspec does not know the type of a field."""
        constrained = [name for name, field in model.model_fields.items() if field.metadata]
        assert not constrained, f"msgspec would not check the constraints of {constrained}"
        fields = [(name, _TYPES.get(field.annotation, field.annotation)) for name, field in model.model_fields.items()]
        # Without `gc`, since a row refers to no other.
        row = msgspec.defstruct(model.__name__, fields, forbid_unknown_fields=True, gc=False)
        self._decoder = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]
        self._adapter = TypeAdapter(list[model])  # type: ignore[valid-type]

    def read(self, items: Iterable[str]) -> Sequence[T]:
        """The JSON objects as objects with the model's fields. Raises `pydantic.ValidationError`."""
        text = json_array(items)
        try:
            return self._decoder.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return self._adapter.validate_json(text)


def json_object(columns: Iterable[KeyedColumnElement[Any]], *, times_sort_as_text: bool = False) -> ColumnElement[str]:
    """A row as the text of a JSON object. It has only these columns, even after the next release has added others.

    Times are as Pydantic writes them: with six digits of the second, or with none. `times_sort_as_text`: always six.
    """
    columns = list(columns)
    members = ",".join(f'"{column.key}":%s' for column in columns)
    values = [_json_value(column, times_sort_as_text) for column in columns]
    return func.format(literal_column(f"'{{{members}}}'"), *values, type_=Text)


def _json_value(column: ColumnElement[Any], times_sort_as_text: bool) -> ColumnElement[Any]:
    if isinstance(column.type, Integer) and not getattr(column, "nullable", True):
        return column
    if not isinstance(column.type, DateTime):
        return func.coalesce(func.to_json(column), literal_column("'null'::json"))
    # PostgreSQL's own JSON would leave out the last zeros.
    time = utc_text(column, quote=r"\"")
    if not times_sort_as_text:
        time = func.replace(time, literal_column("'.000000Z'"), literal_column("'Z'"))
    return func.coalesce(time, literal_column("'null'"))


def utc_text(time: ColumnElement[Any], quote: str = "") -> ColumnElement[str]:
    """The time in UTC with six digits of the second, such as `2026-01-31T12:00:00.250000Z`."""
    form: ColumnElement[str] = literal_column(f"'{quote}{_TIME_FORMAT}{quote}'")
    return func.to_char(func.timezone(literal_column("'UTC'"), time), form, type_=Text)


def text_array(items: Subquery) -> ColumnElement[list[str]]:
    """The column `item` of all rows as one array."""
    array = func.coalesce(func.array_agg(items.c.item), literal_column("'{}'"), type_=ARRAY(Text))
    return select(array).scalar_subquery()


def escape_line_breaks(text: str) -> str:
    """Escape, in text that is JSON, the characters at which some readers of NDJSON break a line in two.

    `str.splitlines` and `iter_lines` of httpx do.
    """
    # As text, which knows whether it is ASCII: to search bytes took a quarter of an export.
    for character, escaped in _LINE_BREAKS.items():
        text = text.replace(character, escaped)
    return text


def json_array(items: Iterable[str]) -> str:
    """The items, each of which is JSON, as an array."""
    return f"[{','.join(items)}]"
