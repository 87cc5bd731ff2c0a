"""Witnesses sign what continues what they have seen, never hold anything up, and stop the ledger where it forks."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest

from src.config import DatabaseSettings
from src.ledger import witnesses
from src.ledger.config import LedgerSettings
from src.ledger.constants import WitnessState
from src.ledger.notes import open_note, split_note
from src.ledger.sealer import Sealer
from src.ledger.witness_task import Transactions, WitnessTask
from src.ledger.witnesses import Answer
from tests.application import run_application
from tests.ledger.conftest import KEY, LEDGER, ORIGIN
from tests.ledger.revisions import write
from tests.ledger.witness import NAME, WitnessServer, ask_all, run_witness


@pytest.fixture(params=["ed25519"])
async def witness(request: pytest.FixtureRequest) -> AsyncIterator[WitnessServer]:
    async with run_witness(KEY.verifier, mldsa=request.param == "mldsa") as started:
        yield started


@pytest.fixture
def settings(witness: WitnessServer) -> LedgerSettings:
    return settings_with(witness.setting)


def settings_with(*witnesses: str, **others: Any) -> LedgerSettings:
    values = {"ledger_interval": 3600, "ledger_origin": ORIGIN, "ledger_key": KEY.secret}
    return LedgerSettings.model_validate(values | {"ledger_witnesses": ",".join(witnesses)} | others)


@pytest.fixture
async def witnessed(database: DatabaseSettings, settings: LedgerSettings) -> AsyncIterator[httpx2.AsyncClient]:
    async with run_application(database, settings) as client:
        yield client


@pytest.fixture
async def pair(transactions: Transactions, settings: LedgerSettings) -> AsyncIterator[tuple[Sealer, WitnessTask]]:
    witness_task = WitnessTask(transactions, settings)
    yield Sealer(transactions, settings), witness_task
    await witness_task.stop()


@pytest.mark.parametrize("witness", ["ed25519", "mldsa"], indirect=True)
async def test_a_checkpoint_is_published_with_its_cosignatures(
    connection: asyncpg.Connection,
    pair: tuple[Sealer, WitnessTask],
    witness: WitnessServer,
    witnessed: httpx2.AsyncClient,
) -> None:
    sealer, witness_task = pair
    for number in range(5):
        await write(connection)
        await sealer.seal_all()
        before = (await witnessed.get(f"{LEDGER}/checkpoint")).text
        assert f"\n{number + 1}\n" not in before
        await ask_all(witness_task)
    await ask_all(witness_task)
    assert witness.statuses == [200] * 5
    note = (await witnessed.get(f"{LEDGER}/checkpoint")).text
    assert open_note(note, [KEY.verifier]).startswith(f"{ORIGIN}\n5\n")
    assert [name for name, *_ in split_note(note)[1]] == [ORIGIN, NAME]
    status = (await witnessed.get(LEDGER)).json()
    assert status["witnesses"] == [{"name": NAME, "url": witness.url, "last_size": 5, "state": "ok"}]
    assert (status["last_checkpoint"]["cosignatures"], status["quorum"]) == (1, 1)


@pytest.mark.usefixtures("database_settings")
async def test_a_witness_that_is_away_holds_up_nothing_and_is_asked_again(
    connection: asyncpg.Connection,
    pair: tuple[Sealer, WitnessTask],
    witness: WitnessServer,
    witnessed: httpx2.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sealer, witness_task = pair
    caplog.set_level(logging.INFO)
    await write(connection)
    await sealer.seal_all()
    witness.answers = [(503, b"")] * 2
    for _ in range(2):
        await ask_all(witness_task)
        await connection.execute("UPDATE ledger_witness SET next_at = now()")
    assert (await witnessed.get(LEDGER)).json()["witnesses"][0]["state"] == "unavailable"
    assert (await witnessed.get(f"{LEDGER}/checkpoint")).status_code == 404
    await connection.execute(
        "ALTER TABLE ledger_checkpoint DISABLE TRIGGER USER;"
        "UPDATE ledger_checkpoint SET created_at = created_at - interval '11 s'"
    )
    note = (await witnessed.get(f"{LEDGER}/checkpoint")).text
    assert [name for name, *_ in split_note(note)[1]] == [ORIGIN]
    await ask_all(witness_task)
    assert witness.statuses == [503, 503, 200]
    said = [record.getMessage() for record in caplog.records if NAME in record.getMessage()]
    assert said == [
        f"ledger: the witness {NAME} does not sign (unavailable): answers 503",
        f"ledger: the witness {NAME} signs again",
    ]


async def test_a_witness_that_hangs_holds_up_no_other_witness(
    connection: asyncpg.Connection,
    transactions: Transactions,
    sealer: Sealer,
    witness: WitnessServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signed, sign = asyncio.Queue[str](), witness.sign

    def say_and_sign(text: str) -> bytes:
        signed.put_nowait(text)
        return sign(text)

    monkeypatch.setattr(witness, "sign", say_and_sign)
    hangs = WitnessServer(KEY.verifier)
    server = socket.create_server(("127.0.0.1", 0))
    hangs.url = f"http://127.0.0.1:{server.getsockname()[1]}"
    witness_task = WitnessTask(transactions, settings_with(witness.setting, hangs.setting, ledger_interval=0.05))
    witness_task.start()
    # It has 5 seconds to answer.
    async with asyncio.timeout(4):
        for size in (1, 2, 3):
            await write(connection)
            await sealer.seal_all()
            assert f"\n{size}\n" in await signed.get()
    await witness_task.stop()
    server.close()


async def test_a_witness_that_is_behind_is_asked_from_its_own_size(
    connection: asyncpg.Connection, pair: tuple[Sealer, WitnessTask], witness: WitnessServer
) -> None:
    sealer, witness_task = pair
    for _ in range(3):
        await write(connection)
    await sealer.seal_all()
    await ask_all(witness_task)
    await connection.execute("UPDATE ledger_witness SET size = 0")
    for _ in range(4):
        await write(connection)
    await sealer.seal_all()
    await ask_all(witness_task)
    assert witness.statuses == [200, 409, 200]
    assert witness.size == 7


FORKS = {"larger": (409, b"2\n"), "inconsistent": (422, b""), "another tree": (409, b"1\n")}


@pytest.mark.parametrize("answer", FORKS.values(), ids=FORKS)
async def test_nothing_is_signed_where_a_witness_knows_another_tree(
    connection: asyncpg.Connection,
    pair: tuple[Sealer, WitnessTask],
    witness: WitnessServer,
    witnessed: httpx2.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    answer: tuple[int, bytes],
) -> None:
    sealer, witness_task = pair
    await write(connection)
    await sealer.seal_all()
    await connection.execute("INSERT INTO ledger_witness (witness, size) VALUES ($1, 1)", str(witness.key))
    witness.answers = [answer]
    await ask_all(witness_task)
    await write(connection)
    assert await sealer.seal_all() == 1
    assert await sealer.seal_all() == 0
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 1
    status = (await witnessed.get(LEDGER)).json()
    assert (status["state"], status["witnesses"][0]["state"]) == ("forked", "forked")
    health = await witnessed.get("/health/ready")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert health.json()["checks"]["ledger"]["status"] == "forked"
    said = [record.levelname for record in caplog.records if "forked" in record.getMessage()]
    assert said == ["ERROR", "ERROR"]


async def test_a_late_answer_does_not_fork_the_ledger_that_has_begun_anew(
    connection: asyncpg.Connection,
    transactions: Transactions,
    pair: tuple[Sealer, WitnessTask],
    settings: LedgerSettings,
) -> None:
    sealer, _ = pair
    await write(connection)
    await sealer.seal_all()
    async with transactions() as transaction:
        (question,) = await witnesses.take_questions(transaction, ORIGIN, settings.witnesses)
    await connection.execute("UPDATE ledger SET origin = 'another.example.org'")
    async with transactions() as transaction:
        await witnesses.keep_answer(transaction, ORIGIN, settings.witnesses, 1, question, Answer(WitnessState.FORKED))
    assert await connection.fetchval("SELECT forked FROM ledger") is None


BAD = {"no base64": b"\xe2\x80\x94 witness.example.org/w1 x\n", "nothing": b"", "no text": b"\xff", "a page": b"<html>"}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
async def test_an_answer_without_a_valid_cosignature_is_refused(
    connection: asyncpg.Connection, pair: tuple[Sealer, WitnessTask], witness: WitnessServer, body: bytes
) -> None:
    sealer, witness_task = pair
    await write(connection)
    await sealer.seal_all()
    witness.answers = [(200, body)]
    await ask_all(witness_task)
    assert await connection.fetchval("SELECT state FROM ledger_witness") == "refused"
    assert await connection.fetchval("SELECT count(*) FROM ledger_cosignature") == 0


async def test_a_cosignature_of_another_checkpoint_is_refused(
    connection: asyncpg.Connection, pair: tuple[Sealer, WitnessTask], witness: WitnessServer
) -> None:
    sealer, witness_task = pair
    await write(connection)
    await sealer.seal_all()
    witness.answers = [(200, witness.sign("another\n1\ntext\n"))]
    await ask_all(witness_task)
    assert await connection.fetchval("SELECT state FROM ledger_witness") == "refused"


async def test_after_a_standby_took_over_witnesses_are_asked_before_anything_is_signed(
    connection: asyncpg.Connection, pair: tuple[Sealer, WitnessTask], witness: WitnessServer
) -> None:
    sealer, witness_task = pair
    await write(connection)
    await sealer.seal_all()
    await ask_all(witness_task)
    await connection.execute("UPDATE ledger SET timeline_id = 7; UPDATE ledger_witness SET timeline_id = 7")
    await write(connection)
    assert await sealer.seal_all() == 1
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 1
    await ask_all(witness_task)
    await sealer.seal_all()
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 2
    assert witness.statuses == [200, 200]


async def test_without_witnesses_a_new_timeline_is_a_warning(
    connection: asyncpg.Connection, sealer: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    await sealer.seal_all()
    await connection.execute("UPDATE ledger SET timeline_id = 7")
    await write(connection)
    await sealer.seal_all()
    await sealer.seal_all()
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 1
    said = [record.levelname for record in caplog.records if "there is no witness to ask" in record.getMessage()]
    assert said == ["WARNING"]


@pytest.mark.parametrize(
    ("setting", "others"),
    [
        ("http://127.0.0.1:1", {}),
        ("ftp://witness.example.org {key}", {}),
        ("https://user:secret@witness.example.org {key}", {}),
        ("https://witness.example.org:0 {key}", {}),
        ("https://witness.example.org:99999 {key}", {}),
        ("https://witness.example.org:port {key}", {}),
        ("https://witness.example.org {log}", {}),
        ("https://a.example.org {key},https://b.example.org {key}", {}),
        ("https://a.example.org {key}", {"ledger_quorum": 2}),
        ("https://a.example.org {key}", {"ledger_quorum": 0}),
        ("https://a.example.org {key}", {"ledger_key": None}),
    ],
)
def test_witnesses_that_cannot_work_are_refused_at_the_start(setting: str, others: dict[str, Any]) -> None:
    key = WitnessServer(KEY.verifier).key
    with pytest.raises(ValueError, match=r"ledger_|LEDGER_"):
        settings_with(setting.format(key=key, log=KEY.verifier), **others)
