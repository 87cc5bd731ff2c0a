"""A pool of connections in which nobody is passed by."""

import asyncio
from collections import deque
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry
from sqlalchemy.util import await_


class FairPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's own hands a free connection to whoever asks at that moment, before those who have waited for it.

    Measured with 20 connections and 32 callers: some waited for 1.9 s where most waited for 10 ms.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._free = self.size() + self._max_overflow
        self._waiting: deque[asyncio.Future[None]] = deque()

    def checkedin(self) -> int:
        """How many connections there are for whoever asks now."""
        return super().checkedin() if self._free else 0

    def _do_get(self) -> ConnectionPoolEntry:
        if self._free:
            self._free -= 1
        else:
            await_(self._wait())
        try:
            return super()._do_get()
        except BaseException:
            self._pass_on()
            raise

    async def _wait(self) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self.timeout()):
                await place
        except BaseException as error:
            if not place.cancelled():
                # It was given to us just as we gave up.
                self._pass_on()
            if isinstance(error, TimeoutError):
                raise PoolTimeoutError("every connection is in use") from None
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        try:
            super()._do_return_conn(record)
        finally:
            # Also where it is one of the overflow and somebody gives up while it is being closed.
            self._pass_on()

    def _pass_on(self) -> None:
        """Give a place to whoever has waited longest; who has given up has cancelled it."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
