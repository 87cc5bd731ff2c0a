"""Shared fixtures: a real PostgreSQL for the session, and for each test an empty database, built by the migrations."""

import asyncio
import gc
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import hypothesis
import pytest
from pydantic import SecretStr

from scripts.postgres import Cluster
from src.config import PROJECT_ROOT, DatabaseSettings, EnvironmentSettings
from tests import programs
from tests.application import run_application
from tests.clusters import MEMORY, alembic_config, migrated_cluster, run_folder
from tests.emptying import empty, refuse_other_changes

# No deadline for an example: the time it takes depends on the load of the machine.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")
_numbers = count(1)


def pytest_configure() -> None:
    """Remove settings in the developer's shell and .env, so that they do not change the result of a test."""
    for kind in EnvironmentSettings.__subclasses__():
        kind.model_config["env_file"] = None
        for name in kind.model_fields:
            os.environ.pop(name.upper(), None)
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        del os.environ[name]
    # No test speaks TLS. In a folder without certificates httpx2 finds none; to read those of the machine takes 24 ms.
    os.environ["SSL_CERT_DIR"] = str(PROJECT_ROOT / "tests")
    os.environ.pop("SSL_CERT_FILE", None)  # it would be read in place of the folder


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[Any]:
    """Make what the processes of this run share. Those of pytest-xdist are no runs of their own."""
    with nullcontext() if hasattr(config, "workerinput") else run_folder():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among what is imported and collected: it stays, and to look takes a third of all that."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that run programs before the others: they take longest, and at the end other cores would wait for them.

    Those of `own_cluster` come first of all, side by side, so that only one process has to make it.
    """
    tests = PROJECT_ROOT / "tests"

    @cache
    def runs_programs(path: Path) -> bool:
        return tests / "scripts" in path.parents or path.parent == tests

    def place(item: pytest.Item) -> int:
        if isinstance(item, pytest.Function) and "own_cluster" in item.fixturenames:
            return 0
        return 1 if runs_programs(item.path) else 2

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def end_of_programs() -> Iterator[None]:
    yield
    programs.stop()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server for this session, with its files in memory where possible."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, migrated_cluster(Path(folder)) as started:
        yield started


@pytest.fixture(scope="session")
async def administrator(cluster: Cluster) -> AsyncIterator[asyncpg.Connection]:
    """A connection that creates and drops databases."""
    connection = await asyncpg.connect(driver_url(settings_for(cluster, "postgres")))
    yield connection
    await connection.close()


async def _fresh_database(cluster: Cluster, administrator: asyncpg.Connection) -> AsyncIterator[DatabaseSettings]:
    """Settings for a new copy of the migrated database, in which commits, triggers and races are real."""
    name = f"test_{next(_numbers)}"
    await administrator.execute(f"CREATE DATABASE {name} TEMPLATE app STRATEGY file_copy")
    yield settings_for(cluster, name)
    await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


database_settings = pytest.fixture(_fresh_database, name="database_settings")
database_of_module = pytest.fixture(_fresh_database, name="database_of_module", scope="module")
_shared_database = pytest.fixture(_fresh_database, name="_shared_database", scope="session")


@pytest.fixture
def database(request: pytest.FixtureRequest) -> DatabaseSettings:
    """Settings for a database without records.

    A test that takes `database_settings` too, itself or by another fixture, has database and application to itself, and
    may change the schema. All others share one of each, which is emptied before a test: that takes 4 ms, and new ones
    take 45.
    """
    settings: DatabaseSettings = request.getfixturevalue(_own_or_emptied(request, "database"))
    return settings


@pytest.fixture
def client(request: pytest.FixtureRequest) -> httpx2.AsyncClient:
    """A client of an application with `database`."""
    client: httpx2.AsyncClient = request.getfixturevalue(_own_or_emptied(request, "client"))
    return client


@pytest.fixture
def connection(request: pytest.FixtureRequest) -> asyncpg.Connection:
    """A connection to `database`, to look at the stored data."""
    connection: asyncpg.Connection = request.getfixturevalue(_own_or_emptied(request, "connection"))
    return connection


def _own_or_emptied(request: pytest.FixtureRequest, what: str) -> str:
    return f"_own_{what}" if "database_settings" in request.fixturenames else f"_emptied_{what}"


@pytest.fixture
def _own_database(database_settings: DatabaseSettings) -> DatabaseSettings:
    return database_settings


@pytest.fixture
async def _own_client(database_settings: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_application(database_settings) as client:
        yield client


@pytest.fixture
async def _own_connection(database_settings: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(driver_url(database_settings))
    yield connection
    await connection.close()


@pytest.fixture
def _emptied_database(_shared_database: DatabaseSettings, _emptied_connection: asyncpg.Connection) -> DatabaseSettings:
    return _shared_database


@pytest.fixture
def _emptied_client(_shared_client: httpx2.AsyncClient, _emptied_connection: asyncpg.Connection) -> httpx2.AsyncClient:
    return _shared_client


@pytest.fixture
async def _emptied_connection(_shared_connection: asyncpg.Connection) -> asyncpg.Connection:
    await empty(_shared_connection)
    return _shared_connection


@pytest.fixture(scope="session")
async def _shared_client(_shared_database: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_application(_shared_database) as client:
        yield client


@pytest.fixture(scope="session")
async def _shared_connection(_shared_database: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(driver_url(_shared_database))
    await refuse_other_changes(connection)
    yield connection
    await connection.close()


@pytest.fixture(scope="module")
async def client_of_module(database_of_module: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of one application for a whole module, whose tests do not mind what the others have recorded."""
    async with run_application(database_of_module) as client:
        yield client


@pytest.fixture(scope="session")
def own_cluster() -> Iterator[Cluster]:
    """A durable server that tests may stop: stopped at once, it keeps its commits."""
    with tempfile.TemporaryDirectory() as folder, migrated_cluster(Path(folder), durable=True) as started:
        yield started


@pytest.fixture
async def stoppable_client(own_cluster: Cluster) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application whose database server the test may stop; the fixture starts it again."""
    await asyncio.to_thread(own_cluster.start)
    async with run_application(settings_for(own_cluster)) as client:
        yield client
    await asyncio.to_thread(own_cluster.start)


@pytest.fixture(scope="module")
async def connection_of_module(database_of_module: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the database of `client_of_module`."""
    connection = await asyncpg.connect(driver_url(database_of_module))
    yield connection
    await connection.close()


def settings_for(cluster: Cluster, database: str = "app") -> DatabaseSettings:
    """Settings with long timeouts: on a busy machine many requests wait longer for a connection, and read longer."""
    return DatabaseSettings(
        database_url=SecretStr(cluster.url(database)), database_pool_timeout=5, database_aggregate_timeout=1.5
    )


def driver_url(settings: DatabaseSettings) -> str:
    return settings.database_url.get_secret_value().replace("+asyncpg", "")


async def migrate(settings: DatabaseSettings, command: Callable[..., None], *arguments: str) -> None:
    """Run a command of Alembic, e.g. `alembic.command.upgrade`, as `make migrate` does."""
    await asyncio.to_thread(command, alembic_config(settings), *arguments)
