"""What the service is measured against: one ASGI function with asyncpg and orjson, and nothing else.

The same tables, statements and bodies, the hash of each revision included; no validation, no errors, no log, no ids of
requests. It is what somebody would write by hand who needs no more than the answer.

asyncpg's pool resets a connection when it is returned, by a statement of its own, unless it is told not to. The service
sends none, so neither does the baseline; `POOL_RESET=yes` leaves the pool as it comes.
"""

import hashlib
import os
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson
import uvicorn
from sqlalchemy import select
from starlette.types import Receive, Scope, Send

from src import clock, pagination
from src.audits import filters, listing, statements
from src.audits.export import ROWS_PER_FETCH
from src.audits.schemas import AuditQuery
from src.config import DatabaseSettings
from src.engines import limits
from src.identifiers import new_id
from src.pagination import COUNT_CAP, DEFAULT_LIMIT, Count, Order
from src.statement import Statement
from tests.benchmarks.servers import AUDITS, driver_url

_PREFIX = f"{AUDITS}/"
_NEW: dict[str, Any] = {"actor_type": "user", "status": "success", "details": {}, "correlation_id": None, "version": 1}
_PIECE_BYTES = 64 * 1024


GET, CREATE = statements.GET.sql, statements.CREATE.sql
_VALUES = listing.page_parameters(AuditQuery(), None)
_PAGE = listing.page_statement(tuple(_VALUES), Order.DESC, Count.CAPPED)
PAGE, PAGE_PARAMETERS = _PAGE.sql, _PAGE.arguments(_VALUES)
EXPORT = Statement(select(statements.AS_JSON).order_by(*filters.sort_order(Order.DESC))).sql
_LIST_FINGERPRINT = pagination._fingerprint(listing._list_identity(AuditQuery()))  # noqa: SLF001 (computed once, as by hand)


async def read(pool: asyncpg.Pool, path: str, _body: bytes) -> bytes:
    record: str = await pool.fetchval(GET, path.removeprefix(_PREFIX))
    return record.encode()


async def page(pool: asyncpg.Pool, _path: str, _body: bytes) -> bytes:
    row = await pool.fetchrow(PAGE, *PAGE_PARAMETERS)
    assert row is not None
    records, counted = row
    items = [orjson.loads(record) for record in records]
    cursor = None
    if len(items) > DEFAULT_LIMIT:
        items.pop()
        position = [_LIST_FINGERPRINT, items[-1]["occurred_at"], items[-1]["id"]]
        cursor = urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()
    return orjson.dumps(
        {
            "items": items,
            "limit": DEFAULT_LIMIT,
            "offset": 0,
            "total": min(counted, COUNT_CAP),
            "total_relation": "gte" if counted > COUNT_CAP else "eq",
            "next_cursor": cursor,
        }
    )


async def create(pool: asyncpg.Pool, _path: str, body: bytes) -> bytes:
    now = clock.now().isoformat().replace("+00:00", "Z")
    audit_id, salt = new_id(), secrets.token_bytes(16).hex()
    times = {"occurred_at": now, "recorded_at": now, "updated_at": now}
    record = _NEW | times | orjson.loads(body) | {"id": audit_id}
    revision = {
        "salt": salt,
        "previous_hash": None,
        "audit_id": audit_id,
        "version": 1,
        "operation": "create",
        "changed_at": now,
        "changed_by": None,
        "reason": None,
        "record": record,
    }
    digest = hashlib.sha256(orjson.dumps(revision, option=orjson.OPT_SORT_KEYS)).hexdigest()
    stored = [revision | {"salt": f"\\x{salt}", "hash": f"\\x{digest}"}]
    created: str = await pool.fetchval(CREATE, orjson.dumps(stored).decode())
    return created.encode()


async def live(_pool: asyncpg.Pool, _path: str, _body: bytes) -> bytes:
    return b'{"status":"ok"}'


Handler = Callable[[asyncpg.Pool, str, bytes], Awaitable[bytes]]
_BY_PATH: dict[tuple[str, str], Handler] = {
    ("GET", "/health/live"): live,
    ("GET", AUDITS): page,
    ("POST", AUDITS): create,
}


class Application:
    pool: asyncpg.Pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == f"{AUDITS}/export":
            await self._export(send)
        else:
            handler = _BY_PATH.get((scope["method"], scope["path"]), read)
            body = await handler(self.pool, scope["path"], await _read(receive))
            await send(_head(201 if handler is create else 200, (b"content-length", b"%d" % len(body))))
            await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        settings = DatabaseSettings.load()
        self.pool = await asyncpg.create_pool(
            driver_url(settings.database_url.get_secret_value()),
            min_size=settings.database_pool_size,
            max_size=settings.database_pool_size + settings.database_max_overflow,
            server_settings={"timezone": "UTC"} | limits(settings),
            reset=None if os.environ.get("POOL_RESET") else _leave_as_it_is,
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.pool.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _export(self, send: Send) -> None:
        await send(_head(200))
        piece = bytearray()
        async with self.pool.acquire() as connection, connection.transaction(readonly=True):
            async for (record,) in connection.cursor(EXPORT, prefetch=ROWS_PER_FETCH):
                piece += record.encode()
                piece += b"\n"
                if len(piece) >= _PIECE_BYTES:
                    await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
                    piece.clear()
        await send({"type": "http.response.body", "body": bytes(piece)})


async def _leave_as_it_is(_connection: Any) -> None:
    pass


async def _read(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            return body


def _head(status: int, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", b"application/json"), *headers],
    }


app = Application()

if __name__ == "__main__":
    from src.config import AppSettings

    settings = AppSettings.load()
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, server_header=False, ws="none")
