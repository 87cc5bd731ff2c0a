"""Every revision that is committed gets its place in the ledger, once, and after the version before."""

import asyncio
import logging
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from alembic import command
from sqlalchemy import text

from src.config import DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_ledger_pool
from src.ledger import sealing, signing
from src.ledger.exceptions import LedgerCloned, OriginChanged, TileLost
from src.ledger.notes import SignerKey, open_note, split_note
from src.ledger.sealer import Sealer
from src.ledger.witness_task import Transactions
from src.statement import Statement
from tests.conftest import driver_url, migrate
from tests.ledger.conftest import KEY, ORIGIN, SIGNED
from tests.ledger.revisions import check_ledger, entries, write

IDS = [UUID(int=number) for number in range(1, 100)]


@pytest.fixture
async def other(database: DatabaseSettings) -> AsyncIterator[asyncpg.Connection]:
    """A second connection."""
    connection = await asyncpg.connect(driver_url(database))
    yield connection
    await connection.close()


async def test_revisions_are_sealed_once_and_in_order(connection: asyncpg.Connection, sealer: Sealer) -> None:
    assert await sealer.seal_all() == 0
    for audit_id in (IDS[2], IDS[0], IDS[1]):
        await write(connection, audit_id)
    await write(connection, IDS[0], 2)
    assert await sealer.seal_all() == 4
    assert await entries(connection) == [(IDS[0], 1), (IDS[0], 2), (IDS[1], 1), (IDS[2], 1)]
    await write(connection, IDS[1], 2)
    assert [await sealer.seal_all() for _ in range(3)] == [1, 0, 0]
    assert await check_ledger(connection) == 0


async def test_a_ledger_with_nothing_new_is_looked_at_without_a_lock(
    connection: asyncpg.Connection, other: asyncpg.Connection, sealer: Sealer
) -> None:
    await write(connection, IDS[0])
    assert [await sealer.seal_all() for _ in range(3)] == [1, 0, 0]
    begun = connection.transaction()
    await begun.start()
    await write(connection, IDS[1])
    # A lock would write its transaction into the row.
    locked_by = await other.fetchval("SELECT xmax::text FROM ledger")
    assert [await sealer.seal_all() for _ in range(2)] == [0, 0]
    assert await other.fetchval("SELECT xmax::text FROM ledger") == locked_by
    await begun.commit()
    assert [await sealer.seal_all() for _ in range(2)] == [1, 0]
    assert await check_ledger(connection) == 0


async def test_a_transaction_that_began_early_and_writes_late_is_in_order(
    connection: asyncpg.Connection, other: asyncpg.Connection, sealer: Sealer
) -> None:
    await sealer.seal_all()
    early = connection.transaction()
    await early.start()
    await connection.execute("SELECT pg_current_xact_id()")
    await write(other, IDS[0])
    assert await sealer.seal_all() == 1
    await write(connection, IDS[0], 2)
    assert await sealer.seal_all() == 0
    await write(other, IDS[1])
    assert await sealer.seal_all() == 1
    await early.commit()
    assert await connection.fetchval("SELECT count(DISTINCT xid) FROM audit_revision WHERE audit_id = $1", IDS[0]) == 2
    assert await sealer.seal_all() == 1
    assert await entries(connection) == [(IDS[0], 1), (IDS[1], 1), (IDS[0], 2)]


async def test_what_is_rolled_back_is_not_sealed_and_savepoints_are(
    connection: asyncpg.Connection, sealer: Sealer
) -> None:
    await sealer.seal_all()
    outer = connection.transaction()
    await outer.start()
    inner = connection.transaction()
    await inner.start()
    await write(connection, IDS[0])
    await inner.commit()
    inner = connection.transaction()
    await inner.start()
    await write(connection, IDS[1])
    await inner.rollback()
    await sealer.seal_all()
    await outer.commit()
    outer = connection.transaction()
    await outer.start()
    await write(connection, IDS[2])
    await sealer.seal_all()
    await outer.rollback()
    await sealer.seal_all()
    assert await entries(connection) == [(IDS[0], 1)]


async def test_transactions_that_stay_open_hold_back_nothing_else(
    connection: asyncpg.Connection, other: asyncpg.Connection, sealer: Sealer, administrator: asyncpg.Connection
) -> None:
    """Also not one of another database of the cluster."""
    async with administrator.transaction(), other.transaction():
        await administrator.execute("SELECT pg_current_xact_id()")
        await write(other, IDS[0])
        for number in range(1, 4):
            await write(connection, IDS[number])
            assert await sealer.seal_all() == 1
    assert await sealer.seal_all() == 1
    assert await check_ledger(connection) == 0


@pytest.mark.usefixtures("database_settings")
async def test_revisions_from_before_there_was_a_ledger_are_sealed(
    connection: asyncpg.Connection, sealer: Sealer
) -> None:
    for number in (3, 1, 2):
        await write(connection, IDS[number])
    await connection.execute("ALTER TABLE audit_revision DISABLE TRIGGER USER; UPDATE audit_revision SET xid = NULL")
    await write(connection, IDS[4])
    assert await sealer.seal_all() == 4
    assert await entries(connection) == [(IDS[number], 1) for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("has_seen", [False, True])
async def test_a_backlog_is_sealed_in_chunks_while_others_write(
    connection: asyncpg.Connection, transactions: Transactions, sealer: Sealer, has_seen: bool
) -> None:
    if has_seen:
        await sealer.seal_all()
    for number in range(10, 20):
        await write(connection, IDS[number])
    added = 0
    for number in (5, 50, 6, 51):
        async with transactions() as sealing_connection:
            sealed = await sealing.seal(sealing_connection, 3)
        assert sealed
        assert sealed.more
        added += sealed.added
        # Before and behind the position that was reached, and a second version of what was sealed.
        await write(connection, IDS[number])
        await write(connection, IDS[number + 5], 2 if number < 10 else 1)
    assert added + await sealer.seal_all() == 18
    assert await check_ledger(connection) == 0


async def test_a_sealer_that_is_killed_leaves_what_it_did_to_the_next(
    connection: asyncpg.Connection, transactions: Transactions, sealer: Sealer
) -> None:
    for number in range(10):
        await write(connection, IDS[number])
    async with transactions() as sealing_connection:
        await sealing.seal(sealing_connection, 3)
    async with transactions() as sealing_connection:
        await sealing.seal(sealing_connection, 3)
        await sealing_connection.close()
    assert await check_ledger(connection) == 7
    assert await sealer.seal_all() == 7
    assert await check_ledger(connection) == 0


async def test_one_seals_at_a_time_and_others_do_not_wait(
    connection: asyncpg.Connection, database: DatabaseSettings, transactions: Transactions, sealer: Sealer
) -> None:
    await write(connection)
    pool = create_ledger_pool(database)
    async with driver_transaction(pool) as first:
        assert await sealing.seal(first, 10) == sealing.Sealed(1, 1, more=False)
        assert await sealer.seal_all() == 0
    await pool.dispose()
    assert await sealer.seal_all() == 0
    assert await check_ledger(connection) == 0


async def test_what_is_committed_is_signed_and_no_size_twice(connection: asyncpg.Connection, sealer: Sealer) -> None:
    for _ in range(2):
        await sealer.seal_all()
        await sealer.seal_all()
        await write(connection)
    rows = await connection.fetch("SELECT origin, size, root, note FROM ledger_checkpoint ORDER BY size")
    assert [(row["origin"], row["size"]) for row in rows] == [(ORIGIN, 0), (ORIGIN, 1)]
    for row in rows:
        assert open_note(row["note"], [KEY.verifier]).startswith(f"{ORIGIN}\n{row['size']}\n")


async def test_a_new_key_signs_what_an_old_one_has_signed(
    connection: asyncpg.Connection, transactions: Transactions, sealer: Sealer
) -> None:
    """Else verifiers that know only the new key would have no checkpoint until something is recorded."""
    await write(connection)
    await sealer.seal_all()
    new = SignerKey(ORIGIN, bytes(32))
    before = await connection.fetchval("SELECT note FROM ledger_checkpoint")
    for keys in ([new, KEY], [new], [KEY]):
        async with transactions() as signing_connection:
            await signing.sign(signing_connection, ORIGIN, keys)
    note = await connection.fetchval("SELECT note FROM ledger_checkpoint")
    assert note.startswith(before)
    assert [key_id for _, key_id, _ in split_note(note)[1]] == [KEY.verifier.id, new.verifier.id]
    assert open_note(note, [new.verifier]) == open_note(before, [KEY.verifier])


async def test_a_ledger_does_not_sign_with_another_origin(
    connection: asyncpg.Connection, transactions: Transactions, sealer: Sealer
) -> None:
    await sealer.seal_all()
    await write(connection)
    async with transactions() as sealing_connection:
        await sealing.seal(sealing_connection, 10)
    with pytest.raises(OriginChanged):
        async with transactions() as sealing_connection:
            await signing.sign(sealing_connection, "other.example.org", [KEY])
    assert await connection.fetchval("SELECT count(*) FROM ledger_checkpoint") == 1


async def test_a_copy_of_the_database_neither_seals_nor_signs(connection: asyncpg.Connection, sealer: Sealer) -> None:
    await sealer.seal_all()
    await write(connection)
    for column in ("system_identifier", "database_oid"):
        await connection.execute(f"UPDATE ledger SET {column} = {column} - 1")
        with pytest.raises(LedgerCloned):
            await sealer.seal_all()
        await connection.execute(f"UPDATE ledger SET {column} = {column} + 1")
    assert await check_ledger(connection) == 1
    await connection.execute("UPDATE ledger SET timeline_id = timeline_id - 1")
    assert await sealer.seal_all() == 1


async def forge(connection: asyncpg.Connection, kept: int) -> None:
    """What an owner of the tables can do: begin the ledger anew, without the oldest revision.

    `kept`: up to which size checkpoints stay.
    """
    for table in ("audit_revision", "ledger", "ledger_entry", "ledger_tile", "ledger_checkpoint"):
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await connection.execute("DELETE FROM audit_revision WHERE audit_id = $1", (await entries(connection))[0][0])
    await connection.execute("DELETE FROM ledger_entry; DELETE FROM ledger_tile")
    await connection.execute("UPDATE ledger SET size = 0, root = sha256(''), seen = NULL, target = NULL")
    await connection.execute("DELETE FROM ledger_checkpoint WHERE size > $1", kept)


@pytest.mark.parametrize("more", [0, 1, 300])
@pytest.mark.usefixtures("database_settings")
async def test_a_ledger_that_was_rewritten_is_forked_although_its_checkpoints_are_gone(
    connection: asyncpg.Connection, sealer: Sealer, more: int, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        await write(connection, IDS[number])
    await sealer.seal_all()
    await forge(connection, -1)
    for _ in range(more):
        await write(connection)
    await sealer.seal_all()
    forked = "the service has signed 3 entries, which this ledger does not continue"
    assert await connection.fetchval("SELECT forked FROM ledger") == forked
    assert await connection.fetchval("SELECT count(*) FROM ledger_checkpoint") == 0
    assert caplog.messages[-1] == f"ledger: forked, so nothing is signed: {forked}"


@pytest.mark.usefixtures("database_settings")
async def test_what_another_process_has_signed_is_remembered(
    connection: asyncpg.Connection, sealer: Sealer, transactions: Transactions
) -> None:
    await write(connection, IDS[0])
    other = Sealer(transactions, SIGNED)
    await other.seal_all()
    await sealer.seal_all()
    await forge(connection, -1)
    await write(connection)
    await sealer.seal_all()
    assert await connection.fetchval("SELECT count(*) FROM ledger_checkpoint") == 0


@pytest.mark.usefixtures("database_settings")
async def test_a_new_process_signs_nothing_that_does_not_continue_the_newest_checkpoint(
    connection: asyncpg.Connection, sealer: Sealer, transactions: Transactions
) -> None:
    for number in range(3):
        await write(connection, IDS[number])
        await sealer.seal_all()
    await forge(connection, 2)
    await write(connection)
    await Sealer(transactions, SIGNED).seal_all()
    assert await connection.fetchval("SELECT forked FROM ledger") is not None
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 2


@pytest.mark.usefixtures("database_settings")
async def test_a_ledger_that_lost_a_tile_neither_seals_nor_signs(
    connection: asyncpg.Connection, sealer: Sealer
) -> None:
    await write(connection)
    await sealer.seal_all()
    await connection.execute("ALTER TABLE ledger_tile DISABLE TRIGGER USER; DELETE FROM ledger_tile")
    await write(connection)
    with pytest.raises(TileLost, match="Tile 0/0 of the ledger has lost hashes"):
        await sealer.seal_all()
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 1


async def test_a_rollback_of_the_migrations_keeps_the_ledger_and_it_goes_on(
    connection: asyncpg.Connection, database_settings: DatabaseSettings, sealer: Sealer
) -> None:
    for number in (1, 2, 3):
        await write(connection, IDS[number])
        if number == 1:
            await sealer.seal_all()
    await migrate(database_settings, command.downgrade, "a91c04de72b3")
    await write(connection, IDS[1], 2)
    await migrate(database_settings, command.upgrade, "head")
    await write(connection, IDS[2], 2)
    assert await sealer.seal_all() == 4
    assert await check_ledger(connection) == 0
    assert await connection.fetchval("SELECT max(size) FROM ledger_checkpoint") == 5


REFUSED = [
    "UPDATE ledger_entry SET version = 7",
    "DELETE FROM ledger_entry",
    "TRUNCATE ledger_entry",
    "UPDATE ledger_tile SET hashes = sha256('')",
    "UPDATE ledger_tile SET number = 1",
    "DELETE FROM ledger_tile",
    "TRUNCATE ledger_tile",
    "UPDATE ledger_checkpoint SET note = ''",
    "UPDATE ledger_checkpoint SET root = sha256(root)",
    "UPDATE ledger_checkpoint SET size = size + 1, note = note || 'a'",
    "DELETE FROM ledger_checkpoint",
    "TRUNCATE ledger_checkpoint",
    "UPDATE ledger SET size = 0",
    "UPDATE ledger SET root = sha256('')",
    "DELETE FROM ledger",
    "TRUNCATE ledger",
]


@pytest.mark.parametrize("role", ["origin", "replica"])
async def test_what_is_sealed_cannot_be_changed(connection: asyncpg.Connection, sealer: Sealer, role: str) -> None:
    await write(connection)
    await sealer.seal_all()
    await connection.execute(f"SET session_replication_role = {role}")
    for statement in REFUSED:
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)


@pytest.mark.usefixtures("database_settings")
async def test_the_log_says_what_stops_sealing_and_what_stops_signing(
    connection: asyncpg.Connection, transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = asyncio.Queue[str]()
    monkeypatch.setattr(
        logging.getLogger("src.ledger.sealer"), "handle", lambda record: said.put_nowait(record.getMessage())
    )
    settings = SIGNED.model_copy(update={"ledger_interval": 0.05})
    for change, back, expected in (
        ("ALTER TABLE ledger RENAME TO hidden", "ALTER TABLE hidden RENAME TO ledger", "UndefinedTableError"),
        ("UPDATE ledger SET origin = 'other'", "UPDATE ledger SET origin = NULL", "nothing is signed: LEDGER_ORIGIN"),
    ):
        await connection.execute(change)
        sealer = Sealer(transactions, settings)
        sealer.start()
        async with asyncio.timeout(20):
            assert expected in await said.get()
        await connection.execute(back)
        await sealer.stop()


async def test_many_that_wait_among_many_others_are_sealed_along_the_key(
    connection: asyncpg.Connection, transactions: Transactions, sealer: Sealer
) -> None:
    for number in range(60, 99):
        await write(connection, IDS[number])
    await sealer.seal_all()
    for number in (*range(10, 50), *range(70, 99, 5)):
        await write(connection, IDS[number], 1 if number < 60 else 2)
    many, added = False, 0
    while added < 46:
        async with transactions() as sealing_connection:
            sealed = await sealing.seal(sealing_connection, 2, many=many)
        assert sealed
        many, added = sealed.many, added + sealed.added
        assert many or added == 46
    assert await sealer.seal_all() == 0
    assert await check_ledger(connection) == 0


async def test_a_checkpoint_is_durable_whatever_the_database_says_and_is_logged_once(
    connection: asyncpg.Connection,
    database: DatabaseSettings,
    transactions: Transactions,
    sealer: Sealer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    await write(connection)
    await sealer.seal_all()
    # A process has signed, and died before it has logged that.
    await write(connection)
    async with transactions() as sealing_connection:
        await sealing.seal(sealing_connection, 10)
    async with transactions() as sealing_connection:
        assert await signing.sign(sealing_connection, ORIGIN, [KEY])
        statement = Statement(text("SELECT current_setting('synchronous_commit')"))
        (setting,) = await sealing_connection.fetch_row(statement)
    assert (await connection.fetchval("SHOW synchronous_commit"), setting) == ("off", "on")
    for _ in range(2):
        await sealer.seal_all()
    notes = [record.checkpoint for record in caplog.records if hasattr(record, "checkpoint")]
    assert [note.split("\n")[1] for note in notes] == ["1", "2"]
