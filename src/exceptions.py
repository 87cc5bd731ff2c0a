"""The errors that the service answers with. All that they know of HTTP is a status and Retry-After.

    AppError
    ├── MalformedJSON            400
    ├── MalformedGzip            400
    ├── MalformedRequest         400
    ├── NotFound                 404   domains derive theirs, e.g. AuditNotFound
    ├── MethodNotAllowed         405
    ├── RequestIncomplete        408
    ├── Conflict                 409
    ├── VersionMismatch          412
    ├── PayloadTooLarge          413
    ├── URITooLong               414
    ├── UnsupportedMediaType     415
    │   └── UnsupportedContentCoding
    ├── ValidationFailed         422   domains derive theirs, e.g. DetailsTooLarge
    │   └── InvalidCursor
    ├── HeadersTooLarge          431
    ├── InternalError            500
    ├── DatabaseUnavailable      503
    │   ├── DatabaseBusy
    │   ├── DatabaseTimeout
    │   └── LimitsNotInForce
    ├── Overloaded               503
    ├── RequestTimeout           504
    └── AIError                        in src/ai/exceptions.py

A new error is two lines: a class with `status`, `code` and `title`. `detail` describes the particular case.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

# The errors that a 422 lists of one item of a batch, or of a request that is not a batch.
MAX_ERRORS_PER_ITEM = 20

_MAX_NAME_LENGTH = 128
_MAX_LOCATION_DEPTH = 17


class AppError(Exception):
    """An error that is sent to the client; `src/web/problems.py` writes it as a problem document (RFC 9457).

    `retry_after` (seconds) becomes the `Retry-After` header; `extensions` become members of the document.
    """

    status: int
    code: str
    title: str
    retry_after: int | None = None

    def __init__(self, detail: str = "", *, retry_after: int | None = None, **extensions: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extensions = extensions
        if retry_after is not None:
            self.retry_after = retry_after


class NotFound(AppError):
    status, code, title = 404, "not-found", "Not found"


class MethodNotAllowed(AppError):
    status, code, title = 405, "method-not-allowed", "Method not allowed"


class Conflict(AppError):
    status, code, title = 409, "conflict", "Conflict with what is stored"


class MalformedJSON(AppError):
    status, code, title = 400, "malformed-json", "The body is not valid JSON"


class MalformedGzip(AppError):
    status, code, title = 400, "malformed-gzip", "The body is not valid gzip"


class MalformedRequest(AppError):
    status, code, title = 400, "malformed-request", "This is not HTTP"


class RequestIncomplete(AppError):
    status, code, title = 408, "request-incomplete", "The request did not arrive in time"


class VersionMismatch(AppError):
    status, code, title = 412, "version-mismatch", "There is another version by now"


class PayloadTooLarge(AppError):
    status, code, title = 413, "payload-too-large", "The body is too large"


class URITooLong(AppError):
    status, code, title = 414, "uri-too-long", "The URL is too long"


class UnsupportedMediaType(AppError):
    status, code, title = 415, "unsupported-media-type", "The body's media type is not supported"


class UnsupportedContentCoding(UnsupportedMediaType):
    """`accepted` is the `Accept-Encoding` of the answer, which tells it from other reasons (RFC 9110, 15.5.16)."""

    def __init__(self, detail: str, accepted: str) -> None:
        super().__init__(detail)
        self.accepted = accepted


class ValidationFailed(AppError):
    """A value of the request is invalid. `errors` lists `{"loc", "msg", "type"}`, and never the value itself."""

    status, code, title = 422, "validation-error", "The request is not valid"

    def __init__(self, errors: list[dict[str, Any]], count: int | None = None) -> None:
        """`count` is the number of errors if `errors` does not list all of them."""
        count = count or len(errors)
        listed = "see errors" if count == len(errors) else f"errors lists {len(errors)} of them"
        truncated = [error | {"loc": _truncate_location(error["loc"])} for error in errors]
        super().__init__(f"{count} {'value is' if count == 1 else 'values are'} not valid; {listed}.", errors=truncated)

    @classmethod
    def of(cls, errors: Sequence[Mapping[str, Any]], location: Sequence[str | int] = ()) -> Self:
        """Of errors as Pydantic lists them, each of which is found under `location`."""
        return cls([_without_input(item, location) for item in _limit_errors_per_item(errors)], count=len(errors))


def _limit_errors_per_item(errors: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the first errors of each item, so that the answer names every bad item of a batch."""
    seen: Counter[Any] = Counter()
    for error in errors:
        item = next((part for part in error["loc"] if isinstance(part, int)), None)
        seen[item] += 1
        if seen[item] <= MAX_ERRORS_PER_ITEM:
            yield error


def _without_input(item: Mapping[str, Any], location: Sequence[str | int]) -> dict[str, Any]:
    """Leave the input out: it can be secret, large, or impossible to write as JSON."""
    message = item["msg"].removeprefix("Value error, ")
    return {"loc": (*location, *item["loc"]), "msg": message, "type": item["type"]}


def _truncate_location(location: Sequence[str | int]) -> list[str | int]:
    """Shorten the location of an error: a name can have a mebibyte, and be part of the location of many errors."""
    return [part[:_MAX_NAME_LENGTH] if isinstance(part, str) else part for part in location[:_MAX_LOCATION_DEPTH]]


class InvalidCursor(ValidationFailed):
    def __init__(self, reason: str) -> None:
        super().__init__([{"loc": ["query", "cursor"], "msg": reason, "type": "invalid_cursor"}])


class HeadersTooLarge(AppError):
    status, code, title = 431, "headers-too-large", "The request's headers are too large"


class InternalError(AppError):
    status, code, title = 500, "internal-error", "Something went wrong on our side"


class DatabaseUnavailable(AppError):
    status, code, title, retry_after = 503, "database-unavailable", "The database is not available", 1


class DatabaseBusy(DatabaseUnavailable):
    status, code, title = 503, "database-busy", "The database is busy"


class DatabaseTimeout(DatabaseUnavailable):
    status, code, title = 503, "database-timeout", "The database took too long"


class LimitsNotInForce(DatabaseUnavailable):
    """A pooler has dropped the limits that the service set when it connected."""


class Overloaded(AppError):
    status, code, title, retry_after = 503, "overloaded", "There is more to do than can be done in time", 1


class RequestTimeout(AppError):
    status, code, title = 504, "request-timeout", "The answer took too long"
