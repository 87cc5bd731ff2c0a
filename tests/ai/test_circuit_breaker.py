"""The circuit breaker stops calls to a provider that fails; after a pause a single probe tests the provider."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable

import pytest

from src.ai.call_limits import CallLimiter
from src.ai.circuit_breaker import CircuitBreaker
from src.ai.exceptions import (
    AICircuitOpen,
    AIError,
    AIInvalidProviderResponse,
    AIProviderGaveUp,
    AIProviderUnavailable,
    AIRateLimited,
    AITimeout,
)
from tests.ai.application import RESPONSES, STATUS, ai_settings, ask, assert_problem, run_ai
from tests.ai.fake_provider import BEGINS, FakeProvider, Reply, Stream, answers, fails

FAILURES, WINDOW, PAUSE = 5, 30, 5


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(ai_settings(ai_breaker_failures=FAILURES), clock)


def make_call(breaker: CircuitBreaker, error: BaseException | None = None) -> bool:
    """Make a call that raises `error`, if any. Returns whether the breaker admitted it."""
    try:
        with breaker.guard():
            if error:
                raise error
    except AICircuitOpen:
        return False
    except BaseException as raised:
        if raised is not error:
            raise
    return True


def fail_calls(breaker: CircuitBreaker, times: int = 1, error: Callable[[], AIError] = AIProviderUnavailable) -> None:
    for _ in range(times):
        assert make_call(breaker, error())


@pytest.mark.parametrize("error", [AIProviderUnavailable, AITimeout])
def test_five_outages_in_a_row_open_the_breaker(breaker: CircuitBreaker, error: Callable[[], AIError]) -> None:
    fail_calls(breaker, FAILURES, error)
    assert not make_call(breaker)


def test_a_success_resets_the_count(breaker: CircuitBreaker) -> None:
    fail_calls(breaker, FAILURES - 1)
    make_call(breaker)
    fail_calls(breaker, FAILURES - 1)
    assert make_call(breaker)


@pytest.mark.parametrize(
    "error",
    [
        AIRateLimited(),
        AIProviderGaveUp(),
        AIInvalidProviderResponse(),
        asyncio.CancelledError(),
        GeneratorExit(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_and_cancelled_calls_neither_count_nor_reset_the_count(
    breaker: CircuitBreaker, error: BaseException
) -> None:
    for _ in range(2 * FAILURES):
        assert make_call(breaker, error)
    fail_calls(breaker, FAILURES - 1)
    assert make_call(breaker, error)
    fail_calls(breaker)
    assert not make_call(breaker)


def test_outages_beyond_the_window_do_not_open_the_breaker(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(3 * FAILURES):
        fail_calls(breaker)
        clock.now += WINDOW / (FAILURES - 1) + 0.01
    assert make_call(breaker)


def test_outages_within_the_window_open_the_breaker_also_after_older_ones(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    fail_calls(breaker, FAILURES - 1)
    clock.now += WINDOW + 1
    fail_calls(breaker, FAILURES - 1)
    assert make_call(breaker, AIRateLimited())
    fail_calls(breaker)
    assert not make_call(breaker)


def test_an_open_breaker_names_the_seconds_until_its_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail_calls(breaker, FAILURES)
    waits = []
    for passed in (0, 1.5, 3, 0.4):
        clock.now += passed
        with pytest.raises(AICircuitOpen) as caught, breaker.guard():
            pass
        waits.append(caught.value.retry_after)
    assert waits == [5, 4, 1, 1]


def test_one_probe_is_admitted_and_its_success_closes_the_breaker(breaker: CircuitBreaker, clock: Clock) -> None:
    fail_calls(breaker, FAILURES)
    clock.now += PAUSE
    with breaker.guard() as is_probe:
        assert is_probe
        assert not make_call(breaker)
    with breaker.guard() as is_probe:
        assert not is_probe
        assert make_call(breaker)
    fail_calls(breaker, FAILURES - 1)
    assert make_call(breaker)


def test_a_failed_probe_starts_another_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    fail_calls(breaker, FAILURES)
    clock.now += PAUSE
    fail_calls(breaker)
    clock.now += PAUSE - 0.1
    assert not make_call(breaker)
    clock.now += 0.1
    assert make_call(breaker)


@pytest.mark.parametrize("error", [AIRateLimited(), asyncio.CancelledError()], ids=["4xx", "cancelled"])
def test_after_an_inconclusive_probe_the_next_call_is_the_probe(
    breaker: CircuitBreaker, clock: Clock, error: BaseException
) -> None:
    fail_calls(breaker, FAILURES)
    clock.now += PAUSE
    assert make_call(breaker, error)
    with breaker.guard() as is_probe:
        assert is_probe


def test_calls_that_began_before_the_breaker_opened_do_not_change_it(breaker: CircuitBreaker, clock: Clock) -> None:
    late_success, late_failure = breaker.guard(), breaker.guard()
    late_success.__enter__()
    late_failure.__enter__()
    fail_calls(breaker, FAILURES)
    clock.now += PAUSE - 1
    assert not late_failure.__exit__(AITimeout, AITimeout(), None)
    late_success.__exit__(None, None, None)
    assert not make_call(breaker)
    clock.now += 1
    assert make_call(breaker)


async def test_one_of_twenty_concurrent_calls_is_the_probe(clock: Clock) -> None:
    limiter = CallLimiter(ai_settings(ai_breaker_failures=1), clock)
    outcomes, all_refused = Counter[str](), asyncio.Event()

    async def call() -> None:
        try:
            async with limiter.admit(math.inf):
                outcomes["admitted"] += 1
                await all_refused.wait()
        except AICircuitOpen:
            outcomes["refused"] += 1
            if outcomes["refused"] == 19:
                all_refused.set()

    with pytest.raises(AITimeout):
        async with limiter.admit(math.inf):
            raise AITimeout
    clock.now += PAUSE
    async with asyncio.timeout(5):
        await asyncio.gather(*(call() for _ in range(20)))
    assert outcomes == {"admitted": 1, "refused": 19}


async def test_an_open_breaker_gets_callers_503_and_the_provider_no_request(provider: FakeProvider) -> None:
    provider.replies(fails(500))
    async with run_ai(provider, ai_breaker_failures=FAILURES) as client:
        for _ in range(FAILURES):
            assert_problem(await ask(client), 503, "ai-provider-unavailable", retryable=True)
        requests_before = len(provider.requests)
        for path in (RESPONSES, f"{RESPONSES}/stream"):
            answer = await client.post(path, json={"input": "x"})
            assert_problem(answer, 503, "ai-circuit-open", retryable=True)
            assert 1 <= int(answer.headers["Retry-After"]) <= PAUSE
        assert len(provider.requests) == requests_before == 2 * FAILURES
        assert (await client.get(STATUS)).status_code == 200


async def test_a_probe_is_a_single_request_and_its_success_ends_the_pause(provider: FakeProvider) -> None:
    settings = {"ai_breaker_failures": 1, "ai_breaker_pause": 0.001}
    provider.replies(Reply(drops=True), Reply(drops=True), fails(500), answers())
    async with run_ai(provider, **settings) as client:
        codes = []
        while len(provider.requests) < 5:
            answer = await ask(client)
            codes.append(answer.json().get("code", answer.status_code))
    assert [code for code in codes if code != "ai-circuit-open"] == [
        "ai-provider-unavailable",
        "ai-provider-unavailable",
        200,
        200,
    ]


async def test_a_stream_that_stalls_counts_as_an_outage(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS], ends="never"))
    async with run_ai(provider, ai_breaker_failures=1, ai_read_timeout=0.1) as impatient:
        assert "ai-timeout" in (await impatient.post(f"{RESPONSES}/stream", json={"input": "x"})).text
        assert_problem(await ask(impatient), 503, "ai-circuit-open", retryable=True)
