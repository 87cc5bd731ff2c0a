"""The ledger through kills of sealers, a restore into another cluster, and failovers, with a witness that remembers."""

import asyncio
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from pydantic import SecretStr

from scripts.postgres import Cluster, find_binaries, postgres
from src.config import PROJECT_ROOT, DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_ledger_pool
from src.ledger.config import LedgerSettings
from src.ledger.exceptions import LedgerCloned
from src.ledger.sealer import Sealer
from src.ledger.witness_task import WitnessTask
from tests.application import run_application
from tests.conftest import driver_url, migrate, settings_for
from tests.ledger.conftest import KEY, ORIGIN
from tests.ledger.revisions import check_ledger, write
from tests.ledger.test_writers import write_by_http, write_by_sql
from tests.ledger.witness import WitnessServer, ask_all, run_witness
from tests.peers.poolers import standby

KILLS, WRITERS = 50, 16
# 503 where too many change one record.
ALLOWED = (200, 201, 404, 503)


@pytest.fixture
async def witness() -> AsyncIterator[WitnessServer]:
    async with run_witness(KEY.verifier) as started:
        yield started


@pytest.fixture
async def primary() -> AsyncIterator[Cluster]:
    """A server that the test may stop."""
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder)) as started:
        await migrate(settings_for(started), command.upgrade, "head")
        yield started


def environment_of(witness: WitnessServer, interval: float = 3600) -> dict[str, str]:
    return {
        "LEDGER_ORIGIN": ORIGIN,
        "LEDGER_KEY": KEY.secret,
        "LEDGER_WITNESSES": witness.setting,
        "LEDGER_INTERVAL": str(interval),
    }


@asynccontextmanager
async def sealing_on(settings: DatabaseSettings, witness: WitnessServer) -> AsyncIterator[tuple[Sealer, WitnessTask]]:
    ledger = LedgerSettings.model_validate({k.lower(): v for k, v in environment_of(witness).items()})
    pool = create_ledger_pool(settings, 2)
    transactions = partial(driver_transaction, pool)
    witness_task = WitnessTask(transactions, ledger)
    yield Sealer(transactions, ledger), witness_task
    await witness_task.stop()
    await pool.dispose()


async def kill_sealers(settings: DatabaseSettings, witness: WitnessServer, chance: random.Random) -> None:
    """Two processes seal; each is killed at any moment and replaced, 50 times in all."""
    environment = os.environ | environment_of(witness, 0.05)
    environment["DATABASE_URL"] = settings.database_url.get_secret_value()

    async def run() -> None:
        for _ in range(KILLS // 2):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.chaos.sealer_process"),
                cwd=PROJECT_ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert process.stdout
            assert await process.stdout.readline() == b"sealing\n"
            await asyncio.sleep(chance.random() * 2)
            process.kill()
            await process.communicate()

    await asyncio.gather(run(), run())


async def test_sealers_are_killed_under_many_writers_and_no_witness_sees_a_fork(
    primary: Cluster, witness: WitnessServer
) -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    settings = settings_for(primary)
    connection = await asyncpg.connect(driver_url(settings))
    urls: list[str] = []
    async with run_application(settings) as client:
        killing = asyncio.create_task(kill_sealers(settings, witness, random.Random(seed)))

        async def keep_writing(number: int) -> None:
            chance = random.Random(seed + number)
            while not killing.done():
                await (
                    write_by_sql(settings, chance) if number % 4 == 0 else write_by_http(client, urls, chance, ALLOWED)
                )

        await asyncio.gather(*map(keep_writing, range(WRITERS)))
        await killing
    assert await connection.fetchval("SELECT forked IS NULL AND size > 0 FROM ledger")
    async with sealing_on(settings, witness) as (sealer, witness_task):
        await sealer.seal_all()
        await connection.execute("UPDATE ledger_witness SET next_at = now()")
        await ask_all(witness_task)
    assert await check_ledger(connection) == 0
    size = await connection.fetchval("SELECT size FROM ledger")
    print("entries", size, "answers", {status: witness.statuses.count(status) for status in {*witness.statuses}})
    assert witness.size == size
    assert witness.statuses.count(200) > KILLS // 5
    assert {*witness.statuses} <= {200, 409}
    assert await connection.fetchval("SELECT forked FROM ledger") is None
    await connection.close()


async def test_a_dump_restored_into_another_cluster_signs_nothing_until_it_is_adopted(
    primary: Cluster, witness: WitnessServer, tmp_path: Path
) -> None:
    settings = settings_for(primary)
    connection = await asyncpg.connect(driver_url(settings))
    for _ in range(3):
        await write(connection)
    async with sealing_on(settings, witness) as (sealer, witness_task):
        await sealer.seal_all()
        await ask_all(witness_task)
    await write(connection)
    await connection.close()
    dump = str(tmp_path / "dump")
    programs = find_binaries()
    command_line = (programs / "pg_dump", "--format=custom", f"--file={dump}", driver_url(settings))
    await asyncio.to_thread(subprocess.run, command_line, check=True)
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder), durable=False) as other:
        restored = settings_for(other)
        await asyncio.to_thread(
            subprocess.run,
            (programs / "pg_restore", "--exit-on-error", f"--dbname={driver_url(restored)}", dump),
            check=True,
        )
        copy = await asyncpg.connect(driver_url(restored))
        await write(copy)
        async with sealing_on(restored, witness) as (sealer, witness_task):
            with pytest.raises(LedgerCloned):
                await sealer.seal_all()
            await ask_all(witness_task)
            assert witness.statuses == [200]
            environment = os.environ | environment_of(witness)
            environment["DATABASE_URL"] = restored.database_url.get_secret_value()
            adopt = (sys.executable, "-m", "src.ledger", "adopt")
            await asyncio.to_thread(subprocess.run, adopt, cwd=PROJECT_ROOT, env=environment, check=True)
            assert await sealer.seal_all() == 2
            await ask_all(witness_task)
        assert await check_ledger(copy) == 0
        assert witness.statuses == [200, 200]
        await copy.close()


@pytest.mark.parametrize("lags", [True, False])
async def test_a_standby_that_takes_over_signs_only_if_the_witness_knows_no_more(
    primary: Cluster, witness: WitnessServer, lags: bool
) -> None:
    settings = settings_for(primary)
    connection = await asyncpg.connect(driver_url(settings))
    folder = primary.socket_directory.parent / f"{primary.socket_directory.name}-standby"
    async with sealing_on(settings, witness) as (sealer, witness_task), standby(primary, folder):
        url = f"postgresql+asyncpg://app@/app?host={folder}"
        behind = DatabaseSettings(database_url=SecretStr(url), database_pool_timeout=5)
        follower = await asyncpg.connect(driver_url(behind))
        await write(connection)
        await sealer.seal_all()
        await ask_all(witness_task)
        await wait_for(follower, "SELECT EXISTS (SELECT FROM ledger_witness WHERE size = 1)")
        if lags:
            await follower.execute("ALTER SYSTEM SET primary_conninfo = ''")
            await follower.execute("SELECT pg_reload_conf()")
            await wait_for(connection, "SELECT NOT EXISTS (SELECT FROM pg_stat_replication)")
            await write(connection)
            await sealer.seal_all()
            await ask_all(witness_task)
        await connection.close()
        await follower.execute("SELECT pg_promote()")
        await write(follower)
        async with sealing_on(behind, witness) as (successor, asking):
            assert await successor.seal_all() == 1
            assert await follower.fetchval("SELECT max(size) FROM ledger_checkpoint") == 1
            await ask_all(asking)
            await successor.seal_all()
        signed = await follower.fetchval("SELECT max(size) FROM ledger_checkpoint")
        forked = await follower.fetchval("SELECT forked FROM ledger")
        if lags:
            assert (signed, forked) == (1, f"{witness.key.name}: knows 2 entries, and 1 were signed here")
        else:
            assert (signed, forked) == (2, None)
        await follower.close()


async def wait_for(connection: asyncpg.Connection, condition: str) -> None:
    deadline = time.monotonic() + 30
    while not await connection.fetchval(condition):
        assert time.monotonic() < deadline, condition
        await asyncio.sleep(0.05)
