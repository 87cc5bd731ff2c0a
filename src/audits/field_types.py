"""The types of the fields of records and of their filters, and what is checked of their values."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StringConstraints, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError, to_json

from src import clock, json_numbers, json_parser
from src.audits.constants import (
    MAX_AMBIGUOUS_NUMBERS,
    MAX_CORRELATION_ID_LENGTH,
    MAX_DETAILS_BYTES,
    MAX_DETAILS_DEPTH,
    MAX_ID_BYTES,
    MAX_ID_LENGTH,
    MAX_MINUTES_AHEAD,
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
    NAME_FILTER_PATTERN,
    NAME_PATTERN,
    PREFIX_MARK,
)
from src.audits.exceptions import DetailsTooLarge
from src.exceptions import AppError
from src.schemas import TEXT_PATTERN, UTCDateTime


def _check_name(value: str) -> str:
    if value.endswith(PREFIX_MARK):
        raise ValueError(f"must not end in {PREFIX_MARK}, which marks a prefix in a filter")
    if value != value.strip():
        raise ValueError("must not begin or end with a space")
    return value


def _check_name_filter(value: str) -> str:
    if not value.endswith(PREFIX_MARK):
        return _name.validate_python(value)
    if value == PREFIX_MARK:
        raise ValueError(f"must have text before the {PREFIX_MARK}; to match every value, leave the filter out")
    if value[0].isspace():
        raise ValueError("must not begin with a space")
    return value


def _check_bytes(value: str) -> str:
    if len(value) > MAX_ID_BYTES // 4 and len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"must take at most {MAX_ID_BYTES:,} bytes as UTF-8")
    return value


def _text_schema(max_length: int, pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": max_length, "pattern": pattern})


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH, pattern=TEXT_PATTERN),
    AfterValidator(_check_name),
    _text_schema(MAX_NAME_LENGTH, NAME_PATTERN),
]
NameFilter = Annotated[
    str,
    # With the mark.
    StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH + 1, pattern=TEXT_PATTERN),
    AfterValidator(_check_name_filter),
    _text_schema(MAX_NAME_LENGTH + 1, NAME_FILTER_PATTERN),
]
Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=TEXT_PATTERN),
    AfterValidator(_check_bytes),
]
EventText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH, pattern=TEXT_PATTERN)]
_name = TypeAdapter[str](Name)
CorrelationId = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_CORRELATION_ID_LENGTH, pattern=TEXT_PATTERN)
]


_MIN_TIME, _MAX_AHEAD = datetime(1970, 1, 1, tzinfo=UTC), timedelta(minutes=MAX_MINUTES_AHEAD)


def _check_occurred_at(value: datetime) -> datetime:
    if value < _MIN_TIME:
        raise ValueError("must not be before 1970")
    if value > clock.now() + _MAX_AHEAD:
        raise ValueError(f"must be at most {MAX_MINUTES_AHEAD} minutes ahead")
    return value


OccurredAt = Annotated[UTCDateTime, AfterValidator(_check_occurred_at)]


def _is_nested_deeper(value: dict[str, Any], levels: int) -> bool:
    level: list[Any] = [value]
    for _ in range(levels):
        inner = [item for each in level for item in (each.values() if type(each) is dict else each)]
        level = [item for item in inner if type(item) is dict or type(item) is list]
        if not level:
            return False
    return True


def _check_details(value: dict[str, Any]) -> dict[str, Any]:
    """Check the depth and the size.

    PostgreSQL checks the size again, since it may print a value with more bytes than this, and never with fewer.
    """
    if _is_nested_deeper(value, MAX_DETAILS_DEPTH):
        raise ValueError(f"must nest at most {MAX_DETAILS_DEPTH} levels")
    if len(to_json(value)) > MAX_DETAILS_BYTES:
        raise PydanticCustomError(DetailsTooLarge.type, DetailsTooLarge.message)
    return value


def _parse_json_object(value: Any) -> Any:
    """Parse the JSON text that a query string carries."""
    if not isinstance(value, str):
        return value
    try:
        return json_parser.parse(value)
    except AppError as error:
        raise ValueError(f"must be a JSON object: {error.detail}") from None


Details = Annotated[dict[str, Any], AfterValidator(_check_details)]


def as_list(value: Any) -> Any:
    """Make a list of a single value: a query string looks the same for both."""
    return [value] if isinstance(value, str) else value


def _check_ambiguous_numbers(value: dict[str, Any]) -> dict[str, Any]:
    """Check that few numbers have two texts: the query has a predicate for each combination."""
    if json_numbers.count_ambiguous(value) > MAX_AMBIGUOUS_NUMBERS:
        raise ValueError(
            f"must have at most {MAX_AMBIGUOUS_NUMBERS} numbers beyond 2^53 that can be written in two ways"
        )
    return value


ContainedDetails = Annotated[Details, AfterValidator(_check_ambiguous_numbers)]
DetailsFilter = Annotated[
    ContainedDetails,
    BeforeValidator(_parse_json_object),
    WithJsonSchema({"type": "string", "contentMediaType": "application/json", "examples": ['{"tenant": "t-1"}']}),
]
