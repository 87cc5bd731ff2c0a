"""The errors that the service answers with. Nothing here knows HTTP beyond a status number.

    AppError
    ├── MalformedJSON            400
    ├── MalformedRequest         400
    ├── NotFound                 404   domains derive theirs, e.g. AuditNotFound
    ├── MethodNotAllowed         405
    ├── RequestIncomplete        408
    ├── Conflict                 409
    ├── VersionMismatch          412
    ├── PayloadTooLarge          413
    ├── URITooLong               414
    ├── UnsupportedMediaType     415
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

A new one is two lines: a class with `status`, `code` and `title`. What it says of this very case is `detail`.
"""

from collections.abc import Sequence
from typing import Any

_LONGEST_NAME = 128
_DEEPEST_LOCATION = 17


class AppError(Exception):
    """An answer that the service means to give; `src/web/problems.py` writes it as a problem document (RFC 9457).

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


class ValidationFailed(AppError):
    """The request is understood and wrong; `errors` lists `{"loc", "msg", "type"}`, never the input itself."""

    status, code, title = 422, "validation-error", "The request is not valid"

    def __init__(self, errors: list[dict[str, Any]], count: int | None = None) -> None:
        """`count`: how many there are, where not all of them are listed."""
        count = count or len(errors)
        listed = "see errors" if count == len(errors) else f"errors lists {len(errors)} of them"
        brief = [error | {"loc": _brief(error["loc"])} for error in errors]
        super().__init__(f"{count} {'value is' if count == 1 else 'values are'} not valid; {listed}.", errors=brief)


def _brief(location: Sequence[str | int]) -> list[str | int]:
    """Where an error is: a name can be a mebibyte, and stand in the location of a thousand errors."""
    return [part[:_LONGEST_NAME] if isinstance(part, str) else part for part in location[:_DEEPEST_LOCATION]]


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
    """Something between the service and PostgreSQL has dropped what the service asked for when it connected."""


class Overloaded(AppError):
    status, code, title, retry_after = 503, "overloaded", "There is more to do than can be done in time", 1


class RequestTimeout(AppError):
    status, code, title = 504, "request-timeout", "The answer took too long"
