"""Exceptions become RFC 9457 problem documents here and nowhere else."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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

_MOST_ERRORS = 20  # of one item
_IN_PATHS = "/:@!$&'()*+,;=~"  # what a path may have as it is (RFC 3986, 3.3), besides what `quote` leaves alone

# SQLSTATE (PostgreSQL documentation, appendix A): the whole code first, then its class; any other is
# DatabaseUnavailable.
_BY_SQLSTATE: Mapping[str, type[AppError]] = {
    "57014": exceptions.DatabaseTimeout,  # query_canceled, by statement_timeout
    "55P03": exceptions.DatabaseTimeout,  # lock_not_available, by lock_timeout
    "40": exceptions.DatabaseBusy,  # serialization_failure, deadlock_detected
    "53": exceptions.DatabaseBusy,  # too_many_connections, out of memory or disk
    "23503": exceptions.Conflict,  # foreign_key_violation
    "23505": exceptions.Conflict,  # unique_violation
}
# A table, a column or a right is missing: our statements are right where the migrations have run.
_SYNTAX_OR_ACCESS = "42"
_NOT_AS_EXPECTED = "The database lacks a table, a column or a right that the service needs. The operator has to look."
_OF_CONNECTING = ("08", "28", "3D", "53", "57P")
# Its client error is what a connection raises that the server has just ended, and that is not closed yet.
_OF_DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# character_not_in_repertoire, untranslatable_character, check_violation. What else it refuses of a value that its model
# has let through is the fault of a table that is not as the model says, and worth another try when that is fixed.
_REFUSED_VALUE = ("22021", "22P05", "23514")


# What every answer of every operation carries, and what every operation can answer besides what it documents.
REQUEST_ID_HEADER = {
    "X-Request-ID": {"description": "The id of the request, in every log line of it.", "schema": {"type": "string"}}
}
ANY_OTHER = {
    "description": "Any other error: 405, 414, 431, 500 and the like.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}

# What operations can answer with, for `documented`.
BODY_ERRORS = (
    exceptions.MalformedJSON,
    exceptions.PayloadTooLarge,
    exceptions.UnsupportedMediaType,
    exceptions.ValidationFailed,
)
DATABASE_ERRORS = (exceptions.DatabaseUnavailable, exceptions.DatabaseBusy, exceptions.DatabaseTimeout)

_UNFORESEEN = exceptions.InternalError("It was recorded under this request id.")


def from_exception(error: Exception, scope: Scope) -> Response:
    """The answer to any exception. What is not the caller's doing is logged, with its traceback."""
    return _respond(_judge(error, scope), scope)


def document(error: Exception, scope: Scope) -> bytes:
    """The problem document alone, for an answer that has begun when the exception comes."""
    return _document(_judge(error, scope), scope["path"], log.request_id.get())


def _judge(error: Exception, scope: Scope) -> AppError:
    answer = _classify(error, scope)
    # Of being overloaded the access log says enough: each line takes time that is short.
    failed = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(answer, exceptions.Overloaded)
    # Its model has let it through: that is for us to fix.
    refused = isinstance(answer, exceptions.ValidationFailed) and isinstance(error, (DBAPIError, *_OF_DRIVER))
    if failed or refused:
        _log(answer, error)
    return answer


def log_outage(error: BaseException) -> bool:
    """Whether `error` is an outage, which is then logged, and not a fault of ours: for an answer that has begun."""
    origin = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
    if not isinstance(origin, (DBAPIError, *_OF_DRIVER, PoolTimeoutError, OSError, ValidationError)):
        return False
    _log(_classify(origin, {}), origin)
    return True


def install(app: FastAPI) -> None:
    """Answer every exception that FastAPI offers to a handler; `LastResortMiddleware` has the others."""

    async def handle(request: Request, error: Exception) -> Response:
        return from_exception(error, request.scope)

    for kind in (AppError, HTTPException, RequestValidationError, SQLAlchemyError, *_OF_DRIVER, OSError):
        app.add_exception_handler(kind, handle)


def documented(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of an operation that can fail in these ways, for its OpenAPI description."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in dict.fromkeys(errors):
        response = by_status.setdefault(error.status, {"description": "", "content": {MEDIA_TYPE: _content()}})
        response["description"] = " or ".join(
            filter(None, (response["description"], f"{error.title} (`{error.code}`)"))
        )
        response["content"][MEDIA_TYPE]["examples"][error.code] = {"value": _example(error)}
        if error.retry_after is not None:
            response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
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
            return _from_validation(error)
        case HTTPException():
            return _from_http(error, scope)
        case PoolTimeoutError():
            return exceptions.DatabaseBusy("Every connection is in use. Try again shortly.")
        case _ if isinstance(error, (DBAPIError, ValidationError, *_OF_DRIVER)):
            return _from_database(getattr(error, "driver_exception", error))
        case TimeoutError():
            return exceptions.DatabaseTimeout("The database did not answer in time. Try again shortly.")
        case OSError():
            return exceptions.DatabaseUnavailable("The database cannot be reached. Try again shortly.")
        case _:
            return _UNFORESEEN


def _from_validation(error: RequestValidationError) -> AppError:
    """Only where and what: the input can be secret, can be what no JSON can hold, and can be a mebibyte of it."""
    errors = error.errors()
    return exceptions.ValidationFailed([_without_input(item) for item in _first_of_each(errors)], count=len(errors))


def _first_of_each(errors: Sequence[Any]) -> Iterator[Any]:
    """Up to a limit of them, for each item of a batch: all that are bad are named."""
    seen: Counter[Any] = Counter()
    for error in errors:
        item = next((part for part in error["loc"] if isinstance(part, int)), None)
        seen[item] += 1
        if seen[item] <= _MOST_ERRORS:
            yield error


def _without_input(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"loc": item["loc"], "msg": item["msg"].removeprefix("Value error, "), "type": item["type"]}


def _from_http(error: HTTPException, scope: Scope) -> AppError:
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            # Below a mount, `root_path` holds the path of the mount too.
            index = f"{scope.get('app_root_path', scope.get('root_path', ''))}/"
            return exceptions.NotFound(f"There is nothing at this path; GET {index} lists what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return exceptions.MethodNotAllowed(f"Allowed here: {_allowed_methods(scope)}.")
        case _:
            return _UNFORESEEN


def _allowed_methods(scope: Scope) -> str:
    """Every method of this path, over all its routes: each route knows only its own. Where GET is, HEAD is too."""

    def is_allowed(method: str) -> bool:
        wanted = {**scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(wanted)[0] is Match.FULL for route in scope["app"].routes)

    # None are found behind a mount, and what is mounted are files.
    return ", ".join(filter(is_allowed, _METHODS)) or "GET, HEAD"


def _from_database(error: BaseException | None) -> AppError:
    """Of what asyncpg has raised, whether SQLAlchemy stood between or not; and of what it has read."""
    if isinstance(error, ValidationError):
        # Not of a request, which has an error of its own: a column has another type, say.
        return exceptions.DatabaseUnavailable("What is stored has another form. Try again shortly.")
    sqlstate = getattr(error, "sqlstate", None) or ""
    if _is_unencodable(error) or sqlstate.startswith(_REFUSED_VALUE):
        return exceptions.ValidationFailed(
            [{"loc": ["body"], "msg": "A value cannot be stored as it is", "type": "not_storable"}]
        )
    if not sqlstate:
        # It is asyncpg that refuses: the connection is closed, or closing.
        return exceptions.DatabaseUnavailable("The connection was lost. Try again shortly.")
    if sqlstate.startswith(_SYNTAX_OR_ACCESS):
        return exceptions.DatabaseUnavailable(_NOT_AS_EXPECTED)
    kind = _BY_SQLSTATE.get(sqlstate) or _BY_SQLSTATE.get(sqlstate[:2]) or exceptions.DatabaseUnavailable
    return kind(f"{kind.title}. Try again shortly." if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR else kind.title)


def _is_unencodable(error: BaseException | None) -> bool:
    """asyncpg refuses what it cannot encode, an integer out of range say, with a ValueError of its own."""
    return isinstance(error, ValueError) and not isinstance(error, asyncpg.ClientConfigurationError)


def cause(error: BaseException) -> str:
    """What to log of an outage. The text only of connecting: that of others can hold what people record.

    Of a value that is refused, the names of the table and of the column or constraint.
    """
    if isinstance(error, AppError):
        return error.detail
    origin = getattr(error, "driver_exception", None) or error
    sqlstate = getattr(origin, "sqlstate", None) or ""
    told = isinstance(origin, OSError | asyncpg.ClientConfigurationError) or sqlstate.startswith(_OF_CONNECTING)
    if told:
        return f"{type(origin).__name__}: {origin}"
    names = [getattr(origin, f"{kind}_name", None) for kind in ("table", "column", "constraint")]
    return " ".join([type(origin).__name__, *filter(None, names)])


def _log(answer: AppError, error: Exception) -> None:
    """The traceback of what only a change of code or schema can fix; of an outage, the cause in a line."""
    sqlstate = getattr(getattr(error, "driver_exception", error), "sqlstate", None)
    if isinstance(error, ValidationError):
        # Its text and its traceback quote what people record.
        logger.error("stored in another form: %s", [(item["loc"], item["type"]) for item in error.errors()[:3]])
    elif isinstance(answer, exceptions.InternalError) or (sqlstate or "").startswith(_SYNTAX_OR_ACCESS):
        logger.error("unforeseen exception", exc_info=error, extra={"sqlstate": sqlstate})
    else:
        logger.warning("%s: %s", answer.code, cause(error), extra={"sqlstate": sqlstate})


def _respond(answer: AppError, scope: Scope) -> Response:
    response = respond(answer, scope["path"], log.request_id.get())
    if isinstance(answer, exceptions.MethodNotAllowed):
        response.headers["Allow"] = _allowed_methods(scope)
    return response


def respond(answer: AppError, path: str, request_id: str | None) -> Response:
    """The answer to what is no request yet, or not a whole one; `from_exception` is for all others."""
    headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return Response(_document(answer, path, request_id), answer.status, headers, MEDIA_TYPE)


def _document(answer: AppError, path: str, request_id: str | None) -> bytes:
    return to_json(_members(answer, answer.detail, quote(path, _IN_PATHS), request_id) | answer.extensions)
