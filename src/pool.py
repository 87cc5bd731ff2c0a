"""A pool of connections in which nobody is passed by."""

import asyncio
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
        self._places = asyncio.Semaphore(self.size() + self._max_overflow)

    def _do_get(self) -> ConnectionPoolEntry:
        try:
            await_(self._take_place())
        except TimeoutError:
            raise PoolTimeoutError("every connection is in use") from None
        try:
            return super()._do_get()
        except BaseException:
            self._places.release()
            raise

    async def _take_place(self) -> None:
        if self._places.locked():
            async with asyncio.timeout(self.timeout()):
                await self._places.acquire()
        else:
            await self._places.acquire()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        super()._do_return_conn(record)
        self._places.release()
