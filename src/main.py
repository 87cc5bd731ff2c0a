"""Assembles the application: its middleware, its routers and what they share while it runs."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from src import __version__, index, problems
from src.ai.client import AIClient
from src.ai.config import AISettings
from src.ai.router import router as ai_router
from src.audits.router import router as audits_router
from src.config import AppSettings, DatabaseSettings
from src.database import create_engine
from src.health.router import router as health_router
from src.middleware import LastResortMiddleware, RequestContextMiddleware
from src.migrations import load_revisions
from src.schemas import Problem

logger = logging.getLogger(__name__)

ROUTERS = (index.router, health_router, audits_router, ai_router)

DESCRIPTION = """
Who did what to which entity, and when: record it, read it back, export it.

Errors are `application/problem+json` (RFC 9457). Every answer carries `X-Request-ID`, which every log line of the
request carries too.
"""


def create_app(
    settings: AppSettings | None = None,
    database_settings: DatabaseSettings | None = None,
    ai_settings: AISettings | None = None,
) -> FastAPI:
    """The application; what is not given is read from the environment.

    Exits with one line (`SystemExit`) where a setting is missing or malformed.
    """
    settings = settings or AppSettings.load()
    database_settings = database_settings or DatabaseSettings.load()
    ai_settings = ai_settings or AISettings.load()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.revisions = load_revisions()
        app.state.engine = create_engine(database_settings)
        app.state.health_engine = create_engine(database_settings, pool_size=1)
        app.state.ai_client = AIClient(ai_settings)
        await _try_database(app.state.engine)
        yield
        await app.state.ai_client.close()
        await app.state.health_engine.dispose()
        await app.state.engine.dispose()

    app = FastAPI(
        title="Audit trail",
        description=DESCRIPTION,
        version=__version__,
        openapi_url=index.OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=_middleware(settings),
        generate_unique_id_function=_operation_id,
    )
    app.state.settings = settings
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    index.install_documentation(app, settings)
    _document_problem(app)
    return app


def _middleware(settings: AppSettings) -> list[Middleware]:
    """From the outside in; see `src/middleware.py`. Credentials stay off: `*` with them would reflect any origin."""
    return [
        Middleware(RequestContextMiddleware),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Location", "Retry-After", "X-Request-ID"],
        ),
        Middleware(LastResortMiddleware, settings=settings),
    ]


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name


async def _try_database(engine: AsyncEngine) -> None:
    """Say at start whether the database is there. The server starts without it, and serves when it is back."""
    try:
        async with engine.connect():
            logger.info("database reached")
    except Exception as error:
        logger.warning("database not reached yet: %s", type(error).__name__)


def _document_problem(app: FastAPI) -> None:
    """Add the problem document to the components, to which every documented error refers."""
    generate = app.openapi

    def openapi() -> dict[str, object]:
        document = generate()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
        return document

    app.openapi = openapi  # type: ignore[method-assign]
