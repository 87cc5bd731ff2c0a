"""Deadlines of many, with one timer."""

import asyncio

from src.web.deadlines import Deadlines


class Waiting:
    def __init__(self) -> None:
        self.expired = asyncio.Event()

    def expire(self, deadlines: Deadlines) -> None:
        assert not self.expired.is_set()
        self.expired.set()


async def test_each_expires_in_the_order_of_its_deadline_and_once() -> None:
    deadlines = Deadlines(0.05)
    first, discarded, second = Waiting(), Waiting(), Waiting()
    deadlines.add(first)
    deadlines.add(discarded)
    deadlines.add(first)
    async with asyncio.timeout(30):
        await asyncio.sleep(0.01)
        deadlines.add(second)
        deadlines.discard(discarded)
        await first.expired.wait()
        assert not second.expired.is_set()
        await second.expired.wait()
    assert not discarded.expired.is_set()
    # Nothing is left that could expire again.
    assert not deadlines._due  # noqa: SLF001


async def test_a_deadline_that_comes_after_all_others_have_gone_expires() -> None:
    deadlines = Deadlines(0.01)
    for _ in range(2):
        waiting = Waiting()
        deadlines.add(waiting)
        async with asyncio.timeout(30):
            await waiting.expired.wait()


async def test_none_expires_before_its_time() -> None:
    loop, deadlines, waiting = asyncio.get_running_loop(), Deadlines(0.1), Waiting()
    gone = Waiting()
    deadlines.add(gone)
    await asyncio.sleep(0.05)
    started = loop.time()
    deadlines.add(waiting)
    deadlines.discard(gone)
    async with asyncio.timeout(30):
        await waiting.expired.wait()
    assert loop.time() - started >= 0.1
