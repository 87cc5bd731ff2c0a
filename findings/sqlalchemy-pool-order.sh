#!/usr/bin/env bash
# SQLAlchemy 2.1.9: one task that closes and asks again keeps the only pooled connection; a task that waits times out.
#
# Expected: who waits first is served first, so that a wait ends when a connection is given back. The documentation
#   calls pool_timeout "the number of seconds to wait before giving up on returning a connection"
#   (https://docs.sqlalchemy.org/en/21/core/pooling.html#sqlalchemy.pool.QueuePool.params.timeout).
# Seen: AsyncAdaptedQueuePool, the pool of create_async_engine, does not hand a connection to the waiter. It puts it into
#   an asyncio.Queue and wakes the waiter; whoever asks before the waiter runs takes it. After `await connection.close()`
#   the same task runs on and asks first, every time. The waiter gets "QueuePool limit reached" although the connection
#   was given back again and again. `async with engine.connect()` lets the event loop turn when it ends, and is fair here.
# What to do: use `async with`, or `await asyncio.sleep(0)` after close(). Do not read the timeout as "the pool is too small".
#
# Output seen (the number of times differs):
#   close(): the waiter got "QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 1.00", the other task was served 1248 times
#   async with: the waiter was served
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq sqlalchemy==2.1.9 greenlet==3.5.6 aiosqlite==0.22.1
cd "$work"
"$work/venv/bin/python" - <<'PY'
import asyncio, sys
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError
from sqlalchemy.ext.asyncio import create_async_engine

async def by_close(engine):
    connection = await engine.connect()
    await connection.execute(text("SELECT 1"))
    await connection.close()

async def by_async_with(engine):
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))

async def wait_behind(query):
    engine = create_async_engine("sqlite+aiosqlite:///file.db", pool_size=1, max_overflow=0, pool_timeout=1)
    served, stop = 0, False

    async def loop():
        nonlocal served
        while not stop:
            await query(engine)
            served += 1

    task = asyncio.create_task(loop())
    while not engine.pool.checkedout():
        await asyncio.sleep(0)
    try:
        async with engine.connect():
            return "served", served
    except TimeoutError as error:
        return str(error).split(" (")[0], served
    finally:
        stop = True
        await task
        await engine.dispose()

waiter, served = asyncio.run(wait_behind(by_close))
print(f'close(): the waiter got "{waiter}", the other task was served {served} times')
fair, _ = asyncio.run(wait_behind(by_async_with))
print(f"async with: the waiter was {fair}")
if "timed out" not in waiter or served < 10 or fair != "served":
    sys.exit("different: the waiter was expected to time out behind close(), and to be served behind async with")
PY
