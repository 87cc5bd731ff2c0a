"""What routers share: connections and their transactions, and conditions."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection, TransactionConnection, transaction
from src.etags import IfMatch, etag, matches_none


async def autocommit_connection(request: Request) -> AutocommitConnection:
    return AutocommitConnection(request.state.pool)


AutocommitDep = Annotated[AutocommitConnection, Depends(autocommit_connection)]
"""For single statements, each of which commits itself.

The connection is back in the pool when the statement has ended, so that a slow client holds none.
"""


async def transaction_connection(request: Request) -> AsyncIterator[TransactionConnection]:
    async with transaction(request.state.pool) as connection:
        yield connection


TransactionDep = Annotated[TransactionConnection, Depends(transaction_connection, scope="function")]
"""A connection for several statements: returning commits, raising rolls back; no service commits.

With `scope="function"` the commit comes before the response: one that fails is never acknowledged.
"""


async def stream_connection(request: Request) -> AsyncIterator[AsyncConnection]:
    pool: ConnectionPool = request.state.stream_pool
    async with pool.connect() as connection:
        yield connection


StreamDep = Annotated[AsyncConnection, Depends(stream_connection)]
"""A connection for one server-side cursor, which reads a snapshot; held until the response has been sent.

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
        return IfMatch.parse(whole_list(request, "If-Match"))
    except ValueError as error:
        raise RequestValidationError([{"loc": ("header", "If-Match"), "msg": str(error), "type": "if_match"}]) from None


IfMatchDep = Annotated[IfMatch | None, Depends(parse_if_match)]
"""The versions that the caller is willing to change; None where the caller does not say."""


def not_modified(request: Request, if_none_match: str | None, version: int) -> Response | None:
    """The answer 304 where the client has this version already; None where it does not, or does not say."""
    if if_none_match is None or matches_none(whole_list(request, "If-None-Match"), version):
        return None
    return Response(status_code=304, headers={"ETag": etag(version)})


def whole_list(request: Request, name: str) -> str:
    """A list may come as several lines (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="Answer 304 if this is still its version.", examples=['"3"'])
]
"""Only its last line: `whole_list` has all of it. No dependency, since each takes 15 us, and this is for reads."""
