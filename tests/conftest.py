"""What tests share: a real PostgreSQL for the session, and for each test a database of its own, built by migrations."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import httpx2
import hypothesis
import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr

from scripts.postgres import Cluster, postgres
from src.config import PROJECT_ROOT, DatabaseSettings, EnvironmentSettings
from tests.application import run_application

TEMPLATE = "template_migrated"
# How long an example takes says more about what else the machine does.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")
_numbers = count(1)


def pytest_configure() -> None:
    """What the developer's shell or .env sets must not decide how a test ends."""
    for kind in EnvironmentSettings.__subclasses__():
        kind.model_config["env_file"] = None
        for name in kind.model_fields:
            os.environ.pop(name.upper(), None)
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that start programs come first: they take longest, and at the end one core would wait for them."""
    tests = PROJECT_ROOT / "tests"
    items.sort(key=lambda item: tests / "scripts" not in item.path.parents and item.path.parent != tests)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server of this session's own, in memory where there is memory to hold files."""
    shared_memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared_memory if os.access(shared_memory, os.W_OK) else None) as folder,
        postgres(Path(folder), durable=False) as started,
    ):
        yield started


@pytest.fixture(scope="session")
async def administrator(cluster: Cluster) -> AsyncIterator[asyncpg.Connection]:
    """A connection that creates and drops databases."""
    connection = await asyncpg.connect(driver_url(settings_for(cluster, "postgres")))
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def template(cluster: Cluster, administrator: asyncpg.Connection) -> str:
    """The name of a database in the state that the migrations lead to."""
    await administrator.execute(f"CREATE DATABASE {TEMPLATE}")
    await migrate(settings_for(cluster, TEMPLATE), command.upgrade, "head")
    return TEMPLATE


async def _fresh_database(
    cluster: Cluster, administrator: asyncpg.Connection, template: str
) -> AsyncIterator[DatabaseSettings]:
    """Settings for a fresh copy of the migrated database: commits, triggers and races are real in it."""
    name = f"test_{next(_numbers)}"
    await administrator.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield settings_for(cluster, name)
    await administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


database_settings = pytest.fixture(_fresh_database, name="database_settings")
database_of_module = pytest.fixture(_fresh_database, name="database_of_module", scope="module")


@pytest.fixture
async def client(database_settings: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_application(database_settings) as client:
        yield client


@pytest.fixture(scope="session")
async def own_cluster() -> AsyncIterator[Cluster]:
    """A server that a test may stop: at once, and with its last commits kept."""
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder)) as started:
        await migrate(settings_for(started), command.upgrade, "head")
        yield started


@pytest.fixture
async def mortal_client(own_cluster: Cluster) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application whose database may be stopped; it runs again afterwards."""
    await asyncio.to_thread(own_cluster.start)
    async with run_application(settings_for(own_cluster)) as client:
        yield client
    await asyncio.to_thread(own_cluster.start)


@pytest.fixture
async def connection(database_settings: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    """A connection beside the application's, to look at what it has really stored."""
    connection = await asyncpg.connect(driver_url(database_settings))
    yield connection
    await connection.close()


def settings_for(cluster: Cluster, database: str = "app") -> DatabaseSettings:
    """With patience: on a busy machine many requests at once wait longer for a connection than people should."""
    return DatabaseSettings(database_url=SecretStr(cluster.url(database)), database_pool_timeout=5)


def driver_url(settings: DatabaseSettings) -> str:
    return settings.database_url.get_secret_value().replace("+asyncpg", "")


async def migrate(settings: DatabaseSettings, command: Callable[..., None], *arguments: str) -> None:
    """Run a command of Alembic, e.g. `alembic.command.upgrade`, as `make migrate` does."""
    config = Config(PROJECT_ROOT / "alembic.ini", attributes={"database_settings": settings})
    await asyncio.to_thread(command, config, *arguments)
