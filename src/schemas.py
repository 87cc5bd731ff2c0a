"""Base classes, times and the problem document, which the models of all domains use."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

# RFC 3339, 5.6, but for leap seconds, which neither Python nor the answers of PostgreSQL have.
_HOURS_AND_MINUTES = r"([01]\d|2[0-3]):[0-5]\d"
_RFC3339 = re.compile(
    rf"\d{{4}}-\d{{2}}-\d{{2}}[Tt]{_HOURS_AND_MINUTES}:[0-5]\d(\.\d+)?([Zz]|[+-]{_HOURS_AND_MINUTES})", re.ASCII
)
_LEAP_SECOND = re.compile(r".{16}:60.*")


# Text without control characters: C0, DEL and C1.
TEXT_PATTERN = r"^[^\u0000-\u001f\u007f-\u009f]*$"


class CustomModel(BaseModel):
    """The base of all models. It refuses unknown fields: a typo must not lose data or widen a query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    @override
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Allow additional members in the schemas of answers, so that a later release can add some."""
        schema = handler(core_schema)
        resolved = handler.resolve_ref_schema(schema)
        if handler.mode == "serialization" and resolved.get("additionalProperties") is False:
            del resolved["additionalProperties"]
        return schema


class PatchModel(CustomModel):
    """The fields to change. Each field has the default `MISSING`, and at least one must be given."""

    @model_validator(mode="after")
    def require_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("must change at least one field")
        return self


EXAMPLE_KEY = "x-example"


def example(value: dict[str, Any]) -> ConfigDict:
    """For `model_config`: the example of the model in the OpenAPI document.

    It is JSON text, which `src/web/openapi.py` parses: FastAPI would remove nulls from a value.
    """
    return ConfigDict(json_schema_extra={EXAMPLE_KEY: json.dumps(value)})


def _require_rfc3339(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        if isinstance(value, str) and _LEAP_SECOND.fullmatch(value):
            raise ValueError("is a leap second, which cannot be kept: send second 59")
        raise ValueError(
            "must be an RFC 3339 date and time with an offset, e.g. 2026-01-31T12:00:00Z (in a query, + is %2B)"
        )
    return value


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


UTCDateTime = Annotated[AwareDatetime, BeforeValidator(_require_rfc3339), AfterValidator(_to_utc)]
"""A time. Requests must send RFC 3339 text with an offset, no number and no bare date; answers have UTC with `Z`."""


class ProblemError(CustomModel):
    loc: list[str | int] = Field(
        description="`body`, `query`, `path` or `header`, then the names and indexes that lead to the value."
    )
    msg: str
    type: str


class Problem(CustomModel):
    """An error, as RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:problem-type:` and the code.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path of the request.")
    code: str = Field(description="For programs: kebab-case, stable.")
    request_id: str | None = Field(description="Also in `X-Request-ID`, and in every log line of the request.")
    errors: list[ProblemError] | None = Field(
        default=None,
        description="For 422, some 400 and 409: the values that are not valid, or that conflict with what is stored.",
    )
    retryable: bool | None = Field(default=None, description="For AI: whether the same request may succeed later.")
    retry_after_seconds: int | None = Field(default=None, description="For AI: as `Retry-After`, where that is known.")
