"""Assembles the application: its middleware, its routers, and the state that they share while it runs."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypedDict

from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.middleware import Middleware
from starlette.types import Scope

from src import __version__, telemetry
from src.ai.client import AIClient
from src.ai.router import router as ai_router
from src.audits.config import AuditSettings
from src.audits.router import batch_router as audit_batches_router
from src.audits.router import router as audits_router
from src.bounded_reads import BoundedPool
from src.config import API_PREFIX, AppSettings, FastPath
from src.connection_pool import ConnectionPool
from src.driver_transaction import driver_transaction
from src.engines import create_aggregate_pool, create_ledger_pool, create_pool, create_probe_engine, create_stream_pool
from src.health.exceptions import CheckFailed
from src.health.probe import DatabaseProbe
from src.health.router import router as health_router
from src.ledger.config import LedgerSettings
from src.ledger.followers import Followers
from src.ledger.router import router as ledger_router
from src.ledger.router import tile_router as ledger_tile_router
from src.ledger.sealer import Sealer
from src.schema_revisions import SchemaRevisions, load_schema_revisions
from src.settings import Settings
from src.web import compiled, explorer_page, index, openapi, problems
from src.web.application import Application
from src.web.middleware import RequestMiddleware
from src.web.root_path import without_root_path

logger = logging.getLogger(__name__)

# FastAPI tries them in this order, where it serves a request itself. Of two prefixes the longer one comes first.
ROUTERS = (
    health_router,
    audits_router,
    audit_batches_router,
    ai_router,
    ledger_tile_router,
    ledger_router,
    index.router,
)

_DISPOSE_SECONDS = 2
# New objects that start a garbage collection. The figures are in tests/benchmarks/README.md.
_GARBAGE_THRESHOLD = 10_000
_EXPOSED_HEADERS = [
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "X-Request-ID",
]

DESCRIPTION = """
Who did what to which entity, and when: record it, read it back, export it.

Errors are `application/problem+json` (RFC 9457). Every answer carries `X-Request-ID`, which every log line of the
request carries too.
"""


class State(TypedDict):
    """The objects that live as long as the process. Requests get them by `src.web.state.shared`."""

    app_settings: AppSettings
    audit_settings: AuditSettings
    ledger_settings: LedgerSettings
    schema_revisions: SchemaRevisions
    pool: ConnectionPool
    stream_pool: ConnectionPool
    aggregate_pool: BoundedPool
    database_probe: DatabaseProbe
    ai_client: AIClient
    followers: Followers
    stop_waiting: Callable[[], None]
    """Ends what only waits, when the server begins to stop (src/web/sending.py)."""


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncIterator[State]:
    """Make the state of the process, and close it at the end."""
    providers = telemetry.start()
    probe_engine = create_probe_engine(settings.database)
    ledger_pool = create_ledger_pool(settings.database, 2 if settings.ledger.witnesses else 1)
    pool, aggregate_pool = create_pool(settings.database), create_aggregate_pool(settings.database)
    followers = Followers(pool, settings.ledger.ledger_interval)
    sealer = Sealer(partial(driver_transaction, ledger_pool), settings.ledger, followers.look)
    state = State(
        app_settings=settings.app,
        audit_settings=settings.audits,
        ledger_settings=settings.ledger,
        schema_revisions=load_schema_revisions(),
        pool=pool,
        stream_pool=create_stream_pool(settings.database),
        aggregate_pool=BoundedPool(aggregate_pool, settings.database.aggregate_seconds),
        database_probe=DatabaseProbe(probe_engine, settings.database),
        ai_client=AIClient(settings.ai),
        followers=followers,
        stop_waiting=followers.stop,
    )
    logger.info("starting", extra={"version": __version__, "environment": settings.app.environment})
    await _log_database_state(state["pool"], state["database_probe"])
    _tune_garbage_collection()
    sealer.start()
    yield state
    await sealer.stop()
    await followers.close()
    await state["ai_client"].close()
    await asyncio.gather(
        _dispose(state["pool"], state["stream_pool"], aggregate_pool, ledger_pool, probe_engine),
        telemetry.stop(providers, _DISPOSE_SECONDS),
    )


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application. Without `settings`, read them from the environment."""
    settings = settings or Settings.load()
    kind = Application if FastPath.DIRECT_ENTRANCE in settings.app.fast_paths else FastAPI
    app = kind(
        title="Audit trail",
        description=DESCRIPTION,
        version=__version__,
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": settings.app.root_path or "/"}],
        openapi_tags=openapi.tags(ROUTERS),
        openapi_url=index.OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda _: lifespan(settings),
        middleware=_middleware(settings.app),
        telemetry={"auto_configure": False, "logs": False, "exclude": partial(is_health, settings.app.root_path)},
        generate_unique_id_function=_operation_id,
    )
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    index.install_documentation(app, settings.app)
    explorer_page.install(app, settings.app)
    openapi.install(app)
    if FastPath.COMPILED_ROUTES in settings.app.fast_paths:
        compiled.install(app)
    return app


def _middleware(settings: AppSettings) -> list[Middleware]:
    """Health is in no group, so that it answers while the others do not."""
    groups = [settings.root_path + router.prefix for router in ROUTERS if router.prefix.startswith(API_PREFIX)]
    return [Middleware(RequestMiddleware, settings=settings, groups=groups, exposed_headers=_EXPOSED_HEADERS)]


def is_health(root_path: str, scope: Scope) -> bool:
    """Whether a request is a health check: these come every few seconds and would fill the traces."""
    path = without_root_path(scope["path"], root_path)
    return path == health_router.prefix or path.startswith(f"{health_router.prefix}/")


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}-{route.name}" if route.tags else route.name


async def _log_database_state(pool: ConnectionPool, probe: DatabaseProbe) -> None:
    """Log whether the database can be used. The server starts in any case, and serves as soon as it can."""
    try:
        found = await probe.result()
        if found.detail:
            logger.error("database not usable: %s", found.detail)
            return
        async with pool.connect():
            logger.info("database reached")
    except Exception as error:
        reason = error.__cause__ if isinstance(error, CheckFailed) and error.__cause__ else error
        logger.warning("database not reached yet: %s", problems.describe_cause(reason))


def _tune_garbage_collection() -> None:
    """Exclude all objects made so far from garbage collection, and collect less often. Does so once in a process.

    Before that `python -m src` collects nothing (src/__main__.py).
    """
    gc.enable()
    if gc.get_threshold()[0] != _GARBAGE_THRESHOLD:
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE_THRESHOLD)


async def _dispose(*engines: ConnectionPool | AsyncEngine) -> None:
    """Close the connections, but do not wait for a database that hangs: each would take seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISPOSE_SECONDS):
            await asyncio.gather(*(engine.dispose() for engine in engines))
