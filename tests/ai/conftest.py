"""A fake provider, and the application that calls it. All tests share one of each, since their start takes longest."""

import logging
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tests.ai.application import run_ai
from tests.ai.fake_provider import FakeProvider, run_provider


@pytest.fixture(autouse=True, scope="session")
def _no_proxy() -> Iterator[None]:
    """Ignore the proxies of the developer's shell: the tests connect to loopback."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
async def shared_provider() -> AsyncIterator[FakeProvider]:
    async with run_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
async def shared_client(shared_provider: FakeProvider) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_ai(shared_provider) as client:
        yield client


@pytest.fixture
def provider(shared_provider: FakeProvider) -> FakeProvider:
    shared_provider.reset()
    return shared_provider


@pytest.fixture
def client(shared_client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A client of the application with the settings of `ai_settings(provider)`."""
    return shared_client


@pytest.fixture(scope="session")
async def shared_impatient_client(shared_provider: FakeProvider) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_ai(shared_provider, ai_max_attempts=1) as client:
        yield client


@pytest.fixture
def impatient_client(shared_impatient_client: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """The same, but the application makes one attempt of each call, and so waits for no second one."""
    return shared_impatient_client


@pytest.fixture
def restore_logging() -> Iterator[None]:
    """Restore the root logger, which all tests share, after a test that configures it."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
