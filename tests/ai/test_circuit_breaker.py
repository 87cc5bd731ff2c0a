"""A provider that fails is left alone for a while; then one call, and no more, finds out whether it is back."""

import asyncio
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


def end(breaker: CircuitBreaker, error: BaseException | None = None) -> bool:
    """A call that ends so; whether it was let through."""
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


def fail(breaker: CircuitBreaker, times: int = 1, error: Callable[[], AIError] = AIProviderUnavailable) -> None:
    for _ in range(times):
        assert end(breaker, error())


@pytest.mark.parametrize("error", [AIProviderUnavailable, AITimeout])
def test_five_failures_in_a_row_open_it(breaker: CircuitBreaker, error: Callable[[], AIError]) -> None:
    fail(breaker, FAILURES, error)
    assert not end(breaker)


def test_a_success_clears_the_count(breaker: CircuitBreaker) -> None:
    fail(breaker, FAILURES - 1)
    end(breaker)
    fail(breaker, FAILURES - 1)
    assert end(breaker)


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
def test_what_says_nothing_of_the_provider_neither_counts_nor_clears(
    breaker: CircuitBreaker, error: BaseException
) -> None:
    for _ in range(2 * FAILURES):
        assert end(breaker, error)
    fail(breaker, FAILURES - 1)
    assert end(breaker, error)
    fail(breaker)
    assert not end(breaker)


def test_failures_far_apart_do_not_open_it(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(3 * FAILURES):
        fail(breaker)
        clock.now += WINDOW / (FAILURES - 1) + 0.01
    assert end(breaker)


def test_failures_in_the_window_open_it_however_old_the_ones_before(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES - 1)
    clock.now += WINDOW + 1
    fail(breaker, FAILURES - 1)
    assert end(breaker, AIRateLimited())
    fail(breaker)
    assert not end(breaker)


def test_it_says_how_long_it_stays_open(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    waits = []
    for passed in (0, 1.5, 3, 0.4):
        clock.now += passed
        with pytest.raises(AICircuitOpen) as caught, breaker.guard():
            pass
        waits.append(caught.value.retry_after)
    assert waits == [5, 4, 1, 1]


def test_one_probe_is_let_through_and_its_success_closes_it(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.now += PAUSE
    with breaker.guard() as is_probe:
        assert is_probe
        assert not end(breaker)
    with breaker.guard() as is_probe:
        assert not is_probe
        assert end(breaker)
    fail(breaker, FAILURES - 1)
    assert end(breaker)


def test_the_failure_of_the_probe_opens_it_anew(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.now += PAUSE
    fail(breaker)
    clock.now += PAUSE - 0.1
    assert not end(breaker)
    clock.now += 0.1
    assert end(breaker)


@pytest.mark.parametrize("error", [AIRateLimited(), asyncio.CancelledError()], ids=["4xx", "cancelled"])
def test_after_a_probe_that_says_nothing_the_next_call_is_the_probe(
    breaker: CircuitBreaker, clock: Clock, error: BaseException
) -> None:
    fail(breaker, FAILURES)
    clock.now += PAUSE
    assert end(breaker, error)
    with breaker.guard() as is_probe:
        assert is_probe


def test_calls_from_before_it_opened_change_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    late_success, late_failure = breaker.guard(), breaker.guard()
    late_success.__enter__()
    late_failure.__enter__()
    fail(breaker, FAILURES)
    clock.now += PAUSE - 1
    assert not late_failure.__exit__(AITimeout, AITimeout(), None)
    late_success.__exit__(None, None, None)
    assert not end(breaker)
    clock.now += 1
    assert end(breaker)


async def test_exactly_one_of_twenty_is_let_through(clock: Clock) -> None:
    limiter = CallLimiter(ai_settings(ai_breaker_failures=1), clock)
    asked, answered = Counter[str](), asyncio.Event()

    async def call() -> None:
        try:
            async with limiter.admit():
                asked["through"] += 1
                await answered.wait()
        except AICircuitOpen:
            asked["refused"] += 1
            if asked["refused"] == 19:
                answered.set()

    with pytest.raises(AITimeout):
        async with limiter.admit():
            raise AITimeout
    clock.now += PAUSE
    async with asyncio.timeout(5):
        await asyncio.gather(*(call() for _ in range(20)))
    assert asked == {"through": 1, "refused": 19}


async def test_callers_of_a_dead_provider_are_told_and_the_provider_is_left_alone(provider: FakeProvider) -> None:
    provider.replies(fails(500))
    async with run_ai(provider, ai_breaker_failures=FAILURES) as client:
        for _ in range(FAILURES):
            assert_problem(await ask(client), 503, "ai-provider-unavailable", retryable=True)
        made = len(provider.requests)
        for path in (RESPONSES, f"{RESPONSES}/stream"):
            answer = await client.post(path, json={"input": "x"})
            assert_problem(answer, 503, "ai-circuit-open", retryable=True)
            assert 1 <= int(answer.headers["Retry-After"]) <= PAUSE
        assert len(provider.requests) == made == 2 * FAILURES
        assert (await client.get(STATUS)).status_code == 200


async def test_a_probe_is_one_request_and_its_answer_ends_the_pause(provider: FakeProvider) -> None:
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


async def test_a_stream_that_stalls_counts(provider: FakeProvider) -> None:
    provider.replies(Stream([BEGINS], ends="never"))
    async with run_ai(provider, ai_breaker_failures=1, ai_stream_event_timeout=0.1) as impatient:
        assert "ai-timeout" in (await impatient.post(f"{RESPONSES}/stream", json={"input": "x"})).text
        assert_problem(await ask(impatient), 503, "ai-circuit-open", retryable=True)
