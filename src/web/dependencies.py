"""Dependencies that routers share: database connections with their transactions, and conditional requests."""

import gzip
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError

from src.bounded_reads import BoundedPool, BoundedReads
from src.connection_pool import ConnectionPool
from src.database import AutocommitConnection, TransactionConnection, transaction
from src.etags import IfMatch, content_etag, etag, matches_no_tag, matches_none
from src.snapshot import SnapshotConnection
from src.web.negotiation import accepts_gzip
from src.web.state import shared

# Of a bundle of entries the best level takes 1.5 ms instead of 0.6, and leaves 16.4 KB of 41 instead of 17.4.
_GZIP_LEVEL = 1


async def autocommit_connection(request: Request) -> AutocommitConnection:
    return AutocommitConnection(shared(request, "pool", ConnectionPool))


AutocommitDep = Annotated[AutocommitConnection, Depends(autocommit_connection)]
"""A connection for single statements, each of which commits itself.

It returns to the pool after each statement, so that a slow client holds none.
"""


async def transaction_connection(request: Request) -> AsyncIterator[TransactionConnection]:
    async with transaction(shared(request, "pool", ConnectionPool)) as connection:
        yield connection


TransactionDep = Annotated[TransactionConnection, Depends(transaction_connection, scope="function")]
"""A connection for several statements in one transaction: returning commits, raising rolls back.

Services never commit. `scope="function"` commits before the response is sent, so that the client of a commit that fails
never gets a success.
"""


async def snapshot_connection(request: Request) -> AsyncIterator[SnapshotConnection]:
    connection = SnapshotConnection(shared(request, "stream_pool", ConnectionPool))
    try:
        yield connection
    finally:
        await connection.close()


SnapshotDep = Annotated[SnapshotConnection, Depends(snapshot_connection)]
"""A connection for one long read of a snapshot; held until the response has been sent.

These connections have a small pool of their own, so that slow readers cannot take the connections of others.
"""


async def bounded_reads(request: Request) -> AsyncIterator[BoundedReads]:
    reads = BoundedReads(shared(request, "aggregate_pool", BoundedPool))
    try:
        yield reads
    finally:
        await reads.close()


BoundedReadsDep = Annotated[BoundedReads, Depends(bounded_reads, scope="function")]
"""For what sums up records: reads that together take a bounded time.

Few connections are theirs alone, so that they neither wait for other requests nor keep these waiting.
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
        return IfMatch.parse(list_header(request, "If-Match"))
    except ValueError as error:
        raise RequestValidationError([{"loc": ("header", "If-Match"), "msg": str(error), "type": "if_match"}]) from None


IfMatchDep = Annotated[IfMatch | None, Depends(parse_if_match)]
"""The versions that the client is willing to change; None without `If-Match`."""


def not_modified(request: Request, if_none_match: str | None, version: int) -> Response | None:
    """Return the answer 304 if `If-None-Match` names this version, else None."""
    if if_none_match is None or matches_none(list_header(request, "If-None-Match"), version):
        return None
    return Response(status_code=304, headers={"ETag": etag(version)})


def cacheable(
    request: Request, content: bytes, media_type: str, cache_control: str, *, is_compressed: bool = False
) -> Response:
    """Return the content with its entity tag, or 304 if `If-None-Match` has that.

    `is_compressed` sends it with gzip to whoever takes that.
    """
    headers = {"Cache-Control": cache_control}
    if is_compressed:
        headers["Vary"] = "Accept-Encoding"
        if accepts_gzip(list_header(request, "Accept-Encoding")):
            headers["Content-Encoding"] = "gzip"
            content = gzip.compress(content, _GZIP_LEVEL, mtime=0)
    headers["ETag"] = content_etag(content)
    return conditional(request, content, media_type, headers)


def conditional(request: Request, content: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """Return the content with the headers, or 304 if `If-None-Match` has the `ETag` among them."""
    if matches_no_tag(list_header(request, "If-None-Match"), headers["ETag"]):
        return Response(content, media_type=media_type, headers=headers)
    return Response(status_code=304, headers={name: headers[name] for name in headers if name != "Content-Encoding"})


def list_header(request: Request, name: str) -> str:
    """Return all lines of a header that is a list, as one line (RFC 9110, 5.3)."""
    return ", ".join(request.headers.getlist(name))


IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="Answer 304 if this is still its version.", examples=['"3"'])
]
"""The last line of the header; `not_modified` reads all lines. It is no dependency, which would take time in every read
(tests/benchmarks/README.md)."""
