"""A copy of the database signs nothing until the operator says what it is."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import asyncpg
import pytest
from pydantic import SecretStr

from src.config import DatabaseSettings
from src.ledger.config import LedgerSettings
from src.ledger.cosignatures import MlDsaSignerKey
from src.ledger.exceptions import LedgerCloned, OriginChanged
from src.ledger.notes import SignerKey
from src.ledger.sealer import Sealer
from src.ledger.witness_task import Transactions, WitnessTask
from tests import programs
from tests.ledger.conftest import KEY, ORIGIN
from tests.ledger.revisions import check_ledger, write
from tests.ledger.witness import NAME, WitnessServer, ask_all, run_witness

OTHER = SignerKey("staging.example.org", bytes(32))


async def run(*arguments: str, **environment: str) -> programs.Done:
    return await programs.run("src.ledger", *arguments, **environment)


def url(settings: DatabaseSettings) -> str:
    return settings.database_url.get_secret_value()


async def clone(connection: asyncpg.Connection) -> None:
    """As if the rows had come from another cluster, in which transaction ids are far ahead."""
    await connection.execute("ALTER TABLE audit_revision DISABLE TRIGGER USER")
    await connection.execute("UPDATE audit_revision SET xid = (xid::text::bigint + 1000000)::text::xid8")
    await connection.execute("ALTER TABLE audit_revision ENABLE TRIGGER USER")
    await connection.execute("UPDATE ledger SET system_identifier = 1, seen = '5000000:5000000:'")


async def test_an_adopted_ledger_goes_on_and_seals_the_rest(
    database_settings: DatabaseSettings, connection: asyncpg.Connection, sealer: Sealer
) -> None:
    await write(connection)
    await sealer.seal_all()
    waiting = await write(connection)
    await clone(connection)
    with pytest.raises(LedgerCloned):
        await sealer.seal_all()
    result = await run("adopt", DATABASE_URL=url(database_settings))
    assert (result.returncode, result.stderr) == (0, "")
    assert "goes on as the same ledger, from size 1" in result.stdout
    await write(connection, waiting, 2)
    assert await sealer.seal_all() == 2
    assert await check_ledger(connection) == 0
    await write(connection)
    assert await sealer.seal_all() == 1
    result = await run("adopt", DATABASE_URL=url(database_settings))
    assert (result.returncode, result.stdout) == (1, "")
    assert "nothing to adopt" in result.stderr


async def test_a_new_ledger_has_the_entries_and_another_name(
    database_settings: DatabaseSettings, connection: asyncpg.Connection, sealer: Sealer, transactions: Transactions
) -> None:
    await write(connection)
    await sealer.seal_all()
    await clone(connection)
    result = await run("new", DATABASE_URL=url(database_settings), LEDGER_ORIGIN=ORIGIN)
    assert result.returncode == 1
    assert "set LEDGER_ORIGIN" in result.stderr
    result = await run("new", DATABASE_URL=url(database_settings), LEDGER_ORIGIN=OTHER.name)
    assert (result.returncode, result.stderr) == (0, "")
    with pytest.raises(OriginChanged):
        await sealer.seal_all()
    settings = LedgerSettings(ledger_origin=OTHER.name, ledger_key=SecretStr(OTHER.secret))
    await Sealer(transactions, settings).seal_all()
    rows = await connection.fetch("SELECT origin, size FROM ledger_checkpoint ORDER BY created_at")
    assert [tuple(row) for row in rows] == [(ORIGIN, 1), (OTHER.name, 1)]
    assert await check_ledger(connection) == 0


class Witnessed(NamedTuple):
    """A copy of a ledger of one entry, which the witness has signed."""

    witness: WitnessServer
    environment: dict[str, str]
    sealer: Sealer
    witness_task: WitnessTask


@pytest.fixture
async def witnessed(
    database: DatabaseSettings, connection: asyncpg.Connection, transactions: Transactions
) -> AsyncIterator[Witnessed]:
    async with run_witness(KEY.verifier) as witness:
        environment = {"LEDGER_ORIGIN": ORIGIN, "LEDGER_KEY": KEY.secret, "LEDGER_WITNESSES": witness.setting}
        settings = LedgerSettings.model_validate({name.lower(): value for name, value in environment.items()})
        sealer, witness_task = Sealer(transactions, settings), WitnessTask(transactions, settings)
        await write(connection)
        await sealer.seal_all()
        await ask_all(witness_task)
        await clone(connection)
        yield Witnessed(witness, environment | {"DATABASE_URL": url(database)}, sealer, witness_task)
        await witness_task.stop()


@pytest.mark.usefixtures("database_settings")
async def test_a_copy_that_lacks_what_was_signed_is_forked_before_it_signs(
    witnessed: Witnessed, connection: asyncpg.Connection
) -> None:
    """A dump is older than what the other database has signed since."""
    witnessed.witness.size = 3
    assert (await run("adopt", **witnessed.environment)).returncode == 0
    await write(connection)
    assert await witnessed.sealer.seal_all() == 1
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 1
    await ask_all(witnessed.witness_task)
    forked = await connection.fetchval("SELECT forked FROM ledger")
    assert forked == f"{NAME}: knows 3 entries, and 1 were signed here"


@pytest.mark.usefixtures("database_settings")
async def test_an_adopted_copy_signs_when_its_witnesses_have_been_asked(
    witnessed: Witnessed, connection: asyncpg.Connection
) -> None:
    assert (await run("adopt", **witnessed.environment)).returncode == 0
    await write(connection)
    await witnessed.sealer.seal_all()
    await ask_all(witnessed.witness_task)
    await witnessed.sealer.seal_all()
    await ask_all(witnessed.witness_task)
    assert witnessed.witness.size == 2


async def test_a_new_ledger_needs_a_name(database_settings: DatabaseSettings, connection: asyncpg.Connection) -> None:
    result = await run("new", DATABASE_URL=url(database_settings))
    assert (result.returncode, "set LEDGER_ORIGIN to its name" in result.stderr) == (1, True)
    await connection.execute("ALTER TABLE ledger DISABLE TRIGGER USER; DELETE FROM ledger")
    for command in ("adopt", "new"):
        result = await run(command, DATABASE_URL=url(database_settings), LEDGER_ORIGIN=ORIGIN)
        assert (result.returncode, result.stderr.count("\n")) == (1, 1)
        assert "the row of the table ledger is gone" in result.stderr


async def test_a_key_is_printed_with_its_settings_and_works() -> None:
    result = await programs.finish(await programs.start_in_full("src.ledger", "key", ORIGIN))
    origin, secret, verifier = result.stdout.splitlines()
    key = SignerKey.parse(secret.removeprefix("LEDGER_KEY="))
    assert origin == f"LEDGER_ORIGIN={ORIGIN}"
    assert verifier.endswith(f" {key.verifier}")
    assert key != KEY
    assert (await run("key", "https://audit.example.org")).stderr.startswith("ledger-key: origin must be a URL")
    mldsa = (await run("key", ORIGIN, "mldsa")).stdout.splitlines()
    assert mldsa[0] == origin
    second = MlDsaSignerKey.parse(mldsa[2].removeprefix("LEDGER_MLDSA_KEY="))
    assert mldsa[4].endswith(f" {second.verifier}")
    assert [line.partition("=")[0] for line in mldsa[:3]] == ["LEDGER_ORIGIN", "LEDGER_KEY", "LEDGER_MLDSA_KEY"]
    assert (await run("sell")).stderr.startswith("usage: ")


async def test_revisions_of_another_cluster_are_sealed_after_adoption(
    database: DatabaseSettings, connection: asyncpg.Connection, sealer: Sealer
) -> None:
    """As logical replication and COPY bring them: with the transaction ids of where they come from."""
    await write(connection)
    await sealer.seal_all()
    await connection.execute("""
        INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash, xid)
        VALUES (gen_random_uuid(), 1, 'create', now(), '{}', '', '', '4'),
            (gen_random_uuid(), 1, 'create', now(), '{}', '', '', '1000000000')
    """)
    assert await sealer.seal_all() == 0
    result = await run("adopt", DATABASE_URL=url(database))
    assert (result.returncode, result.stderr) == (0, "")
    assert await sealer.seal_all() == 2
    assert await check_ledger(connection) == 0
    assert (await run("adopt", DATABASE_URL=url(database))).returncode == 1


async def test_a_forked_ledger_is_adopted_only_without_the_witness_that_said_so(
    database: DatabaseSettings, connection: asyncpg.Connection, sealer: Sealer
) -> None:
    await write(connection)
    await sealer.seal_all()
    witness = WitnessServer(KEY.verifier)
    witness.url = "http://127.0.0.1:1"
    await connection.execute("UPDATE ledger SET forked = $1", f"{NAME}: knows 7 entries")
    environment = {"DATABASE_URL": url(database), "LEDGER_ORIGIN": ORIGIN, "LEDGER_KEY": KEY.secret}
    result = await run("adopt", LEDGER_WITNESSES=witness.setting, **environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert "knows 7 entries: go back to the database that has these entries" in result.stderr
    assert (await run("adopt", **environment)).returncode == 0
    await write(connection)
    assert await sealer.seal_all() == 1
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 2
