"""Turns exceptions into RFC 9457 problem documents; no other module does."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic_core import ValidationError, to_json
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from src import exceptions, log
from src.exceptions import AppError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

# The characters that a path may hold as they are, besides those that `quote` never changes (RFC 3986, 3.3).
_PATH_CHARACTERS = "/:@!$&'()*+,;=~"

# Errors by SQLSTATE, or by its class, the first two characters (PostgreSQL documentation, appendix A). All others are
# DatabaseUnavailable.
_ERROR_BY_SQLSTATE: Mapping[str, type[AppError]] = {
    "57014": exceptions.DatabaseTimeout,  # query_canceled, by statement_timeout
    "55P03": exceptions.DatabaseTimeout,  # lock_not_available, by lock_timeout
    "40": exceptions.DatabaseBusy,  # serialization_failure, deadlock_detected
    "53": exceptions.DatabaseBusy,  # too_many_connections, out of memory or disk
    "23503": exceptions.Conflict,  # foreign_key_violation
    "23505": exceptions.Conflict,  # unique_violation
}
# The class of errors for a missing table, column or privilege: the database is not as the migrations leave it.
_SYNTAX_OR_ACCESS_CLASS = "42"
_SCHEMA_MISMATCH = "The database lacks a table, a column or a right that the service needs. The operator has to look."
# The classes of errors while connecting. Their texts hold nothing that clients have recorded.
_CONNECTION_SQLSTATES = ("08", "28", "3D", "53", "57P")
# asyncpg raises InternalClientError for a connection that the server has just ended, before the connection is closed.
_DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# character_not_in_repertoire, untranslatable_character, check_violation: the value is wrong, so the client gets a 422.
# Any other refusal of a value that our model accepts means that the table differs from the model: 503.
_REFUSED_VALUE_SQLSTATES = ("22021", "22P05", "23514")

# For the OpenAPI document: a header of every answer, and the errors that operations do not document one by one.
REQUEST_ID_HEADER = {
    "X-Request-ID": {"description": "The id of the request, in every log line of it.", "schema": {"type": "string"}}
}
OTHER_ERRORS = {
    "description": "Any other error: 405, 414, 431, 500 and the like.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}

# Errors that many operations share, for `documented`.
BODY_ERRORS = (
    exceptions.MalformedJSON,
    exceptions.PayloadTooLarge,
    exceptions.UnsupportedMediaType,
    exceptions.ValidationFailed,
)
DATABASE_ERRORS = (exceptions.DatabaseUnavailable, exceptions.DatabaseBusy, exceptions.DatabaseTimeout)

_ACCEPT_ENCODING = {
    "description": "The content codings that are accepted, if another was sent.",
    "schema": {"type": "string"},
}

_INTERNAL_ERROR = exceptions.InternalError("It was recorded under this request id.")


def from_exception(error: Exception, scope: Scope) -> Response:
    """Return the answer to any exception, and log the exception if the client did not cause it."""
    answer = _classify_and_log(error, scope)
    response = to_response(answer, scope["path"], log.request_id.get())
    if isinstance(answer, exceptions.MethodNotAllowed):
        response.headers["Allow"] = _allowed_methods(scope)
    if isinstance(answer, exceptions.UnsupportedContentCoding):
        response.headers["Accept-Encoding"] = answer.accepted
    return response


def document(error: Exception, scope: Scope) -> bytes:
    """Return only the problem document, for an answer that had begun when the exception was raised."""
    return _to_document(_classify_and_log(error, scope), scope["path"], log.request_id.get())


def _classify_and_log(error: Exception, scope: Scope) -> AppError:
    answer = _classify(error, scope)
    # The access log says enough about overload, and an overloaded process has no time for more lines.
    failed = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(answer, exceptions.Overloaded)
    # Our model accepted the value, so we have to fix the model.
    refused = isinstance(answer, exceptions.ValidationFailed) and isinstance(error, (DBAPIError, *_DRIVER_ERRORS))
    if failed or refused:
        _log(answer, error)
    return answer


def log_if_outage(error: BaseException) -> bool:
    """Log `error` and return True if it is an outage; return False if it is a bug. For an answer that has begun."""
    origin = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    if not isinstance(origin, (DBAPIError, *_DRIVER_ERRORS, PoolTimeoutError, OSError, ValidationError)):
        return False
    _log(_classify(origin, {}), origin)
    return True


def install(app: FastAPI) -> None:
    """Register a handler for the exceptions that we expect; `RequestMiddleware` answers all others."""

    async def handle(request: Request, error: Exception) -> Response:
        return from_exception(error, request.scope)

    for kind in (AppError, HTTPException, RequestValidationError, SQLAlchemyError, *_DRIVER_ERRORS, OSError):
        app.add_exception_handler(kind, handle)


def documented(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of an operation that can raise `errors`, by status."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in dict.fromkeys(errors):
        response = by_status.setdefault(error.status, {"description": "", "content": {MEDIA_TYPE: _content()}})
        response["description"] = " or ".join(
            filter(None, (response["description"], f"{error.title} (`{error.code}`)"))
        )
        response["content"][MEDIA_TYPE]["examples"][error.code] = {"value": _example(error)}
        if error.retry_after is not None:
            response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
        if error is exceptions.UnsupportedMediaType:
            response["headers"] = {"Accept-Encoding": _ACCEPT_ENCODING}
    return by_status


def _content() -> dict[str, Any]:
    return {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}


def _example(error: type[AppError]) -> dict[str, Any]:
    example = _members(error, error.title, "/api/v1/example", "0197a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b")
    if issubclass(error, exceptions.ValidationFailed):
        example["errors"] = [
            {"loc": ["query", "limit"], "msg": "Input should be greater than 0", "type": "greater_than"}
        ]
    return example


def _members(error: AppError | type[AppError], detail: str, instance: str, request_id: str | None) -> dict[str, Any]:
    return {
        "type": f"urn:problem-type:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": detail,
        "instance": instance,
        "code": error.code,
        "request_id": request_id,
    }


def _classify(error: Exception, scope: Scope) -> AppError:
    match error:
        case AppError():
            return error
        case RequestValidationError():
            return exceptions.ValidationFailed.of(error.errors())
        case HTTPException():
            return _from_http(error, scope)
        case PoolTimeoutError():
            return exceptions.DatabaseBusy("Every connection is in use. Try again shortly.")
        case _ if isinstance(error, (DBAPIError, ValidationError, *_DRIVER_ERRORS)):
            return _from_database(getattr(error, "driver_exception", error))
        case TimeoutError():
            return exceptions.DatabaseTimeout("The database did not answer in time. Try again shortly.")
        case OSError():
            return exceptions.DatabaseUnavailable("The database cannot be reached. Try again shortly.")
        case _:
            return _INTERNAL_ERROR


def _from_http(error: HTTPException, scope: Scope) -> AppError:
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            # Inside a mount, `root_path` includes the path of the mount.
            index = f"{scope.get('app_root_path', scope.get('root_path', ''))}/"
            return exceptions.NotFound(f"There is nothing at this path; GET {index} lists what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return exceptions.MethodNotAllowed(f"Allowed here: {_allowed_methods(scope)}.")
        case _:
            return _INTERNAL_ERROR


def _allowed_methods(scope: Scope) -> str:
    """Return the methods that any route of this path allows. Starlette lists only those of the first route."""

    def is_allowed(method: str) -> bool:
        # Every route that answers GET answers HEAD.
        wanted = {**scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(wanted)[0] is Match.FULL for route in scope["app"].routes)

    # A mount does not match here; ours serves only files.
    return ", ".join(filter(is_allowed, _METHODS)) or "GET, HEAD"


def _from_database(error: BaseException | None) -> AppError:
    """Classify an error that asyncpg raised, or a `ValidationError` of a value that it read."""
    if isinstance(error, ValidationError):
        # FastAPI raises RequestValidationError for requests. This one means, for example, a column of another type.
        return exceptions.DatabaseUnavailable("The database returned a value of an unexpected type. Try again shortly.")
    sqlstate = getattr(error, "sqlstate", None) or ""
    if _is_unencodable(error) or sqlstate.startswith(_REFUSED_VALUE_SQLSTATES):
        return exceptions.ValidationFailed(
            [{"loc": ["body"], "msg": "A value cannot be stored as it is", "type": "not_storable"}]
        )
    if not sqlstate:
        # asyncpg raised it itself, because the connection is closed or closing.
        return exceptions.DatabaseUnavailable("The connection was lost. Try again shortly.")
    if sqlstate.startswith(_SYNTAX_OR_ACCESS_CLASS):
        return exceptions.DatabaseUnavailable(_SCHEMA_MISMATCH)
    kind = _ERROR_BY_SQLSTATE.get(sqlstate) or _ERROR_BY_SQLSTATE.get(sqlstate[:2]) or exceptions.DatabaseUnavailable
    return kind(f"{kind.title}. Try again shortly." if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR else kind.title)


def _is_unencodable(error: BaseException | None) -> bool:
    """Whether asyncpg could not encode a value, for example an integer out of range."""
    return isinstance(error, ValueError) and not isinstance(error, asyncpg.ClientConfigurationError)


def describe_cause(error: BaseException) -> str:
    """Return one line about an outage for the log, without anything that clients have recorded.

    It has the text of errors while connecting. Of a refused value it has the names of table, column and constraint.
    """
    if isinstance(error, AppError):
        return error.detail
    origin = getattr(error, "driver_exception", None) or error
    sqlstate = getattr(origin, "sqlstate", None) or ""
    is_safe = isinstance(origin, OSError | asyncpg.ClientConfigurationError) or sqlstate.startswith(
        _CONNECTION_SQLSTATES
    )
    if is_safe:
        return f"{type(origin).__name__}: {origin}"
    names = [getattr(origin, f"{kind}_name", None) for kind in ("table", "column", "constraint")]
    return " ".join([type(origin).__name__, *filter(None, names)])


def _log(answer: AppError, error: Exception) -> None:
    """Log a traceback if only a change of code or schema can fix the error; else one line."""
    sqlstate = getattr(getattr(error, "driver_exception", error), "sqlstate", None)
    if isinstance(error, ValidationError):
        # Its text and its traceback quote recorded values.
        logger.error(
            "stored value of an unexpected type: %s", [(item["loc"], item["type"]) for item in error.errors()[:3]]
        )
    elif isinstance(answer, exceptions.InternalError) or (sqlstate or "").startswith(_SYNTAX_OR_ACCESS_CLASS):
        logger.error("unforeseen exception", exc_info=error, extra={"sqlstate": sqlstate})
    else:
        logger.warning("%s: %s", answer.code, describe_cause(error), extra={"sqlstate": sqlstate})


def to_response(answer: AppError, path: str, request_id: str | None) -> Response:
    """Return the answer for `answer`; `from_exception` does it for exceptions of a request."""
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return Response(_to_document(answer, path, request_id), answer.status, headers, MEDIA_TYPE)


def _to_document(answer: AppError, path: str, request_id: str | None) -> bytes:
    return to_json(_members(answer, answer.detail, quote(path, _PATH_CHARACTERS), request_id) | answer.extensions)
