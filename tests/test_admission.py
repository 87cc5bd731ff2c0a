"""Places go to those who have waited longest, none is lost with somebody who gave up, and each wait has an end."""

import asyncio

import pytest

from src.admission import Admission, NotAdmitted, TooManyWaiting


def test_a_free_place_takes_no_task_and_no_timer() -> None:
    # Without an event loop there is neither.
    with pytest.raises(StopIteration):
        Admission(1, timeout=1).admit().send(None)


async def test_places_go_to_the_waiting_in_the_order_of_their_arrival() -> None:
    admission, asked, admitted = Admission(20, timeout=60), [], []

    async def use(caller: int) -> None:
        for _ in range(5):
            asked.append(caller)
            await admission.admit()
            admitted.append(caller)
            await asyncio.sleep(0)
            admission.release()

    await asyncio.gather(*(use(caller) for caller in range(32)))
    assert admitted == asked
    assert len(admitted) == 32 * 5


async def test_a_free_place_goes_to_a_waiting_caller_before_a_newcomer() -> None:
    admission, order = Admission(1, timeout=60), []
    await admission.admit()

    async def wait() -> None:
        await admission.admit()
        order.append("waited")
        admission.release()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    admission.release()
    await admission.admit()
    order.append("came again")
    await waiting
    assert order == ["waited", "came again"]


async def test_no_place_is_lost_with_those_who_give_up() -> None:
    admission = Admission(1, timeout=60)
    await admission.admit()
    early, late, patient = [asyncio.create_task(admission.admit()) for _ in range(3)]
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.sleep(0)
    admission.release()
    # It has been given the place and does not know yet.
    late.cancel()
    await patient
    assert early.cancelled()
    assert late.cancelled()


async def test_no_place_is_lost_where_it_becomes_free_at_the_end_of_a_wait() -> None:
    admission = Admission(1, timeout=0)
    await admission.admit()
    waiting = asyncio.create_task(admission.admit())
    # After `waiting` has begun to wait, and before its time is up.
    asyncio.get_running_loop().call_soon(admission.release)
    with pytest.raises(NotAdmitted):
        await waiting
    await admission.admit()


async def test_a_wait_has_an_end() -> None:
    admission = Admission(1, timeout=0.01)
    await admission.admit()
    with pytest.raises(NotAdmitted):
        await admission.admit()
    admission.release()
    await admission.admit()


async def test_a_caller_may_wait_for_a_share_of_the_time() -> None:
    admission = Admission(1, timeout=60)
    assert await admission.admit(share=0) == 0
    with pytest.raises(NotAdmitted):
        await admission.admit(share=0)


async def test_who_is_admitted_learns_how_long_that_took() -> None:
    admission = Admission(1, timeout=60)
    assert await admission.admit() == 0
    waiting = asyncio.create_task(admission.admit())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.02, admission.release)
    assert 0.01 < await waiting < 60


async def test_only_so_many_wait_and_those_who_gave_up_are_not_counted() -> None:
    admission = Admission(1, timeout=60, max_waiting=1)
    await admission.admit()
    for _ in range(2):
        waiting = asyncio.create_task(admission.admit())
        await asyncio.sleep(0)
        with pytest.raises(TooManyWaiting):
            await admission.admit()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    last = asyncio.create_task(admission.admit())
    await asyncio.sleep(0)
    admission.release()
    await last
