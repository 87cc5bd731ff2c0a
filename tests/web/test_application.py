"""A request enters at our own middleware, unless something else is around it."""

import httpx2
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from src.config import DatabaseSettings
from src.main import create_app
from src.settings import Settings
from tests.application import with_state


async def mark(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["X-Mark"] = "marked"
    return response


async def test_a_middleware_that_is_added_later_is_called(database: DatabaseSettings) -> None:
    app = create_app(Settings.load(database))
    app.add_middleware(BaseHTTPMiddleware, dispatch=mark)
    async with (
        app.router.lifespan_context(app) as state,
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(with_state(app, state)), base_url="http://testserver"
        ) as client,
    ):
        response = await client.get("/health/live")
    assert (response.status_code, response.headers["X-Mark"]) == (200, "marked")
