"""What routers share: connections and their transactions, conditions, and strict query parameters."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from inspect import isclass
from typing import Annotated, Any, get_origin
from urllib.parse import unquote_to_bytes

from fastapi import Depends, Header, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from src.conditional import IfMatch
from src.database import AutocommitConnection, connect


async def get_engine(request: Request) -> AsyncEngine:
    engine: AsyncEngine = request.app.state.engine
    return engine


EngineDep = Annotated[AsyncEngine, Depends(get_engine)]


async def statement_connection(engine: EngineDep) -> AutocommitConnection:
    return AutocommitConnection(engine)


StatementDep = Annotated[AutocommitConnection, Depends(statement_connection)]
"""For single statements, each of which commits itself: no BEGIN and COMMIT around it.

The connection is back in the pool when the statement has ended, so that a slow client holds none.
"""


async def transaction_connection(engine: EngineDep) -> AsyncIterator[AsyncConnection]:
    async with connect(engine) as connection:
        yield connection


TransactionDep = Annotated[AsyncConnection, Depends(transaction_connection, scope="function")]
"""A connection for several statements: returning commits, raising rolls back; no service commits.

With `scope="function"` the commit comes before the response: one that fails is never acknowledged.
"""


async def stream_connection(request: Request) -> AsyncIterator[AsyncConnection]:
    engine: AsyncEngine = request.app.state.stream_engine
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection


StreamDep = Annotated[AsyncConnection, Depends(stream_connection)]
"""A connection for a server-side cursor: one read-only snapshot, held until the response has been sent.

These connections are few and apart, so that readers who take their time cannot starve the others.
"""


async def parse_if_match(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description='Change it only if this is its version, e.g. `"3"`; else 412.',
            examples=['"3"'],
        ),
    ] = None,
) -> IfMatch | None:
    if if_match is None:
        return None
    try:
        return IfMatch.parse(_whole_list(request, "If-Match"))
    except ValueError as error:
        raise RequestValidationError([_error("header", "If-Match", str(error), "if_match")]) from None


IfMatchDep = Annotated[IfMatch | None, Depends(parse_if_match)]
"""The versions that the caller is willing to change; None where the caller does not say."""


async def get_if_none_match(
    request: Request,
    if_none_match: Annotated[
        str | None,
        Header(alias="If-None-Match", description="Answer 304 if this is still its version.", examples=['"3"']),
    ] = None,
) -> str | None:
    return None if if_none_match is None else _whole_list(request, "If-None-Match")


def _whole_list(request: Request, name: str) -> str:
    """A list may come as several lines (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


IfNoneMatchDep = Annotated[str | None, Depends(get_if_none_match)]


async def refuse_unknown_query(request: Request) -> None:
    """Refuse a query parameter that the operation does not take, or one that is no list and is given twice.

    A typo must not widen a query without a word.
    """
    query_string = request.scope["query_string"]
    if not query_string:
        return
    if not _is_utf8(query_string):
        raise RequestValidationError([{"loc": ("query",), "msg": "Must be UTF-8, percent-encoded", "type": "not_utf8"}])
    known = dict(_flatten(request.scope["route"].dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    errors = [_error("query", name, *reason) for name, n in given.items() if (reason := _refusal(known.get(name), n))]
    if errors:
        raise RequestValidationError(errors)


StrictQuery = Depends(refuse_unknown_query)
"""For `APIRouter(dependencies=[...])`: holds for every operation of the router."""


def _is_utf8(query_string: bytes) -> bool:
    try:
        unquote_to_bytes(query_string).decode()
    except UnicodeDecodeError:
        return False
    return True


def _flatten(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The query parameters of an operation and its dependencies: name, and whether it can be given more than once."""
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        if isclass(annotation) and issubclass(annotation, BaseModel):
            yield from ((field.alias or name, _is_list(field)) for name, field in annotation.model_fields.items())
        else:
            yield parameter.alias, _is_list(parameter.field_info)
    for inner in dependant.dependencies:
        yield from _flatten(inner)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list


def _refusal(repeatable: bool | None, count: int) -> tuple[str, str] | None:
    if repeatable is None:
        return "Unknown query parameter", "extra_forbidden"
    if count > 1 and not repeatable:
        return "Given more than once", "repeated"
    return None


def _error(part: str, name: str, message: str, kind: str) -> dict[str, Any]:
    return {"loc": (part, name), "msg": message, "type": kind}
