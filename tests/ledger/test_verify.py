"""`make verify` names what the owner of a database changed in revisions and ledger, with a checkpoint kept outside."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from src.audits.revisions import compute_hash
from src.config import DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_job_engine, create_ledger_pool
from src.ledger.checkpoints import Checkpoint
from src.ledger.entries import encode_entry
from src.ledger.merkle import hash_leaf
from src.ledger.notes import SignerKey, sign_note
from src.ledger.sealer import Sealer
from src.ledger.tiles import grow
from src.ledger.verify import Known, Unusable, main, read_checkpoint, verify
from tests import programs
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.ledger.conftest import KEY, MLDSA_KEY, ORIGIN, SIGNED

TABLES = ("audit_revision", "audit_event", "ledger", "ledger_entry", "ledger_tile", "ledger_checkpoint")
Findings = set[tuple[str, str]]
# Of the older entries nothing is read: no tile has this number.
NEWER = partial(Known, (KEY.verifier,), part=99_999, parts=100_000)


class Trail(NamedTuple):
    """Sealed: a record of three versions, a removed one and 300 others, then a checkpoint, then three more versions."""

    settings: DatabaseSettings
    kept: Checkpoint
    note: str
    old: str
    removed: str
    new: str


@pytest.fixture(scope="module")
async def trail(client_of_module: httpx2.AsyncClient, database_of_module: DatabaseSettings) -> AsyncIterator[Trail]:
    pool = create_ledger_pool(database_of_module)
    sealer = Sealer(partial(driver_transaction, pool), SIGNED)
    old = await create_trail(client_of_module)
    removed = await create_audit(client_of_module)
    await client_of_module.delete(f"{AUDITS}/{removed['id']}")
    for _ in range(3):
        await client_of_module.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 100})
    await sealer.seal_all()
    engine = create_job_engine(database_of_module)
    async with engine.connect() as connection:
        (row,) = await connection.exec_driver_sql("SELECT size, root, note FROM ledger_checkpoint")
    new = await create_trail(client_of_module)
    await sealer.seal_all()
    yield Trail(database_of_module, Checkpoint(ORIGIN, row.size, row.root), row.note, old, removed["id"], new)
    await engine.dispose()
    await pool.dispose()


async def create_trail(client: httpx2.AsyncClient) -> str:
    created = await create_audit(client, details={"n": 1})
    for number in range(2):
        await client.patch(f"{AUDITS}/{created['id']}", json={"details": {"n": number / 3}})
    return str(created["id"])


@asynccontextmanager
async def tampered(trail: Trail) -> AsyncIterator[AsyncConnection]:
    """A transaction of the owner of the tables, which is rolled back: the triggers are off."""
    engine = create_job_engine(trail.settings)
    async with engine.connect() as connection:
        for table in TABLES:
            await connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield connection
    await engine.dispose()


async def find(connection: AsyncConnection, known: Known) -> Findings:
    return {(str(finding.subject), finding.text) async for finding in verify(connection, known)}


async def rewrite_chain(connection: AsyncConnection, audit_id: str) -> None:
    """Tell another story, with hashes and chain as the service computes them."""
    previous, rows = (
        None,
        await connection.exec_driver_sql(
            "SELECT * FROM audit_revision WHERE audit_id = $1 ORDER BY version", (audit_id,)
        ),
    )
    for row in rows.mappings().all():
        record = row["record"] | {"actor_id": "somebody else"}
        previous = compute_hash({**row, "audit_id": str(row["audit_id"]), "record": record, "previous_hash": previous})
        await connection.exec_driver_sql(
            """UPDATE audit_revision SET record = jsonb_set(record, '{actor_id}', '"somebody else"'), hash = $3,
                previous_hash = lag.hash
            FROM (SELECT max(hash) AS hash FROM audit_revision WHERE audit_id = $1 AND version = $2 - 1) AS lag
            WHERE audit_id = $1 AND version = $2""",
            (audit_id, row["version"], previous),
        )
    await connection.exec_driver_sql(
        "UPDATE audit SET actor_id = 'somebody else', hash = $2 WHERE id = $1", (audit_id, previous)
    )


async def rewrite_ledger(connection: AsyncConnection, key: SignerKey = KEY) -> None:
    """Make entries, tiles, root and checkpoints those of the revisions that are there, and sign."""
    await connection.exec_driver_sql("DELETE FROM ledger_entry AS entry WHERE NOT EXISTS (SELECT FROM audit_revision"
        " AS r WHERE r.audit_id = entry.audit_id AND r.version = entry.version)")  # fmt: skip
    await connection.exec_driver_sql("""
        UPDATE ledger_entry AS entry SET hash = revision.hash, index = place.index - 1
        FROM audit_revision AS revision,
            (SELECT index AS old, row_number() OVER (ORDER BY index) AS index FROM ledger_entry) AS place
        WHERE (revision.audit_id, revision.version) = (entry.audit_id, entry.version) AND place.old = entry.index
    """)
    rows = await connection.exec_driver_sql("SELECT * FROM ledger_entry ORDER BY index")
    leaves = [hash_leaf(encode_entry(row.audit_id, row.version, row.operation, row.hash.hex())) for row in rows]
    grown = grow(0, {}, leaves)
    for table in ("ledger_tile", "ledger_checkpoint"):
        await connection.exec_driver_sql(f"DELETE FROM {table}")
    for tile, hashes in grown.tiles.items():
        await connection.exec_driver_sql("INSERT INTO ledger_tile VALUES ($1, $2, $3)", (*tile, hashes))
    await connection.exec_driver_sql("UPDATE ledger SET size = $1, root = $2", (grown.size, grown.root))
    note = sign_note(str(Checkpoint(ORIGIN, grown.size, grown.root)), [key])
    await connection.exec_driver_sql(
        "INSERT INTO ledger_checkpoint VALUES ($1, $2, $3, $4)", (ORIGIN, grown.size, grown.root, note)
    )


async def remove_with_its_chain(connection: AsyncConnection, audit_id: str) -> None:
    await connection.exec_driver_sql("DELETE FROM audit WHERE id = $1", (audit_id,))
    await connection.exec_driver_sql("DELETE FROM audit_revision WHERE audit_id = $1", (audit_id,))


async def cut_tail(connection: AsyncConnection, audit_id: str) -> None:
    """Set the record back to version 2."""
    await connection.exec_driver_sql(
        """UPDATE audit SET version = 2, hash = r.hash, details = r.record->'details',
            updated_at = CAST(r.record->>'updated_at' AS timestamptz)
        FROM audit_revision AS r WHERE id = $1 AND r.audit_id = $1 AND r.version = 2""",
        (audit_id,),
    )
    await connection.exec_driver_sql("DELETE FROM audit_revision WHERE audit_id = $1 AND version = 3", (audit_id,))


async def swap_entries(connection: AsyncConnection, audit_id: str) -> None:
    """Of version 1 and the entry of another record."""
    rows = await connection.exec_driver_sql(
        "SELECT index FROM ledger_entry WHERE audit_id = $1 AND version = 1", (audit_id,)
    )
    index = rows.scalar_one()
    other = index + 5 if index < 100 else index - 5
    for old, new in ((index, 10**6), (other, index), (10**6, other)):
        await connection.exec_driver_sql("UPDATE ledger_entry SET index = $2 WHERE index = $1", (old, new))


async def remove_entry(connection: AsyncConnection, audit_id: str) -> None:
    await connection.exec_driver_sql("DELETE FROM ledger_entry WHERE audit_id = $1 AND version = 2", (audit_id,))


async def remove_revision(connection: AsyncConnection, audit_id: str) -> None:
    await connection.exec_driver_sql("DELETE FROM audit_revision WHERE audit_id = $1 AND version = 2", (audit_id,))


async def add_revision(connection: AsyncConnection, audit_id: str) -> None:
    """From before there was a ledger, as it seems."""
    await connection.exec_driver_sql(
        """INSERT INTO audit_revision
        SELECT audit_id, 4, 'update', changed_at, NULL, NULL, record, salt, hash, hash, NULL
        FROM audit_revision WHERE audit_id = $1 AND version = 3""",
        (audit_id,),
    )


async def remove_record(connection: AsyncConnection, audit_id: str) -> None:
    await connection.exec_driver_sql("DELETE FROM audit WHERE id = $1", (audit_id,))


Tamper = Callable[[AsyncConnection, str], Awaitable[None]]
NAMED: dict[Tamper, str] = {
    rewrite_chain: "version 1 is not what was sealed: entry",
    remove_with_its_chain: "version 1 is gone: entry",
    cut_tail: "version 3 is gone: entry",
    swap_entries: "of the ledger has another hash than tile 0/00",
    remove_entry: "version 2 has no entry in the ledger",
    remove_revision: "version 2 is gone: entry",
    add_revision: "version 4 has no entry in the ledger",
    remove_record: "the record is gone, and no revision says that it was deleted",
}


async def test_an_untouched_ledger_has_no_findings(trail: Trail) -> None:
    async with tampered(trail) as connection:
        for known in (Known(), Known((KEY.verifier,), trail.kept), NEWER(trail.kept), NEWER(trail.kept, True)):
            assert await find(connection, known) == set()


@pytest.mark.parametrize("tamper", NAMED, ids=lambda tamper: tamper.__name__)
async def test_each_change_is_named(trail: Trail, tamper: Tamper) -> None:
    """Of what is older than the checkpoint when all is read, and of what is newer always."""
    for record, known in ((trail.old, NEWER(trail.kept, True)), (trail.new, NEWER(trail.kept))):
        async with tampered(trail) as connection:
            await tamper(connection, record)
            found = await find(connection, known)
        assert any(subject == record and NAMED[tamper] in text for subject, text in found), found
        assert {subject for subject, _ in found} <= {record, "ledger"} or tamper is swap_entries


@pytest.mark.parametrize(
    "tamper", [remove_with_its_chain, cut_tail, remove_entry, remove_revision, add_revision, remove_record]
)
async def test_a_revision_or_an_entry_without_the_other_is_found_in_every_part(trail: Trail, tamper: Tamper) -> None:
    async with tampered(trail) as connection:
        await tamper(connection, trail.old)
        assert any(subject == trail.old for subject, _ in await find(connection, NEWER(trail.kept)))


async def test_a_removed_record_that_is_there_again_is_found_without_reading_its_chain(trail: Trail) -> None:
    async with tampered(trail) as connection:
        await connection.exec_driver_sql(
            "INSERT INTO audit SELECT (jsonb_populate_record(NULL::audit, record)).* FROM audit_revision"
            " WHERE audit_id = $1 AND operation = 'delete'",
            (trail.removed,),
        )
        found = await find(connection, NEWER(trail.kept))
    assert found == {(trail.removed, "the record is there, although its last revision deleted it")}


async def test_entries_that_are_gone_are_found_without_reading_what_is_around_them(trail: Trail) -> None:
    """In a copy too, where nothing says that a revision should have an entry."""
    async with tampered(trail) as connection:
        for index in (0, 7, 8):
            await connection.exec_driver_sql("DELETE FROM ledger_entry WHERE index = $1", (index,))
        await connection.exec_driver_sql("UPDATE ledger SET system_identifier = 1")
        gaps = {("ledger", f"entries {first} to {last} are missing") for first, last in ((0, 0), (7, 8))}
        assert await find(connection, NEWER(trail.kept)) == gaps


async def test_what_is_older_is_read_part_by_part(trail: Trail) -> None:
    async with tampered(trail) as connection:
        await rewrite_chain(connection, trail.old)
        parts = [await find(connection, Known((KEY.verifier,), trail.kept, part=part, parts=4)) for part in range(4)]
    assert [bool(found) for found in parts] == [True, False, False, False]


@pytest.mark.parametrize("level", [0, 1])
async def test_an_edited_tile_is_named(trail: Trail, level: int) -> None:
    async with tampered(trail) as connection:
        await connection.exec_driver_sql(
            "UPDATE ledger_tile SET hashes = set_byte(hashes, 3, 255 - get_byte(hashes, 3))"
            " WHERE level = $1 AND number = 0",
            (level,),
        )
        found = await find(connection, Known((KEY.verifier,), trail.kept))
        assert ("ledger", f"tile {level}/000 does not have the hashes of what is below it") in found
        await connection.exec_driver_sql("DELETE FROM ledger_tile WHERE level = $1 AND number = 0", (level,))
        assert ("ledger", f"tile {level}/000 is missing") in await find(connection, Known())


@pytest.mark.parametrize("tamper", [rewrite_chain, remove_with_its_chain, cut_tail])
async def test_a_rewrite_of_everything_is_found_with_a_checkpoint_kept_outside_only(
    trail: Trail, tamper: Tamper
) -> None:
    rewritten = {("ledger", f"it is not the one of the checkpoint of {trail.kept.size} entries: it was rewritten")}
    async with tampered(trail) as connection:
        await tamper(connection, trail.old)
        await rewrite_ledger(connection)
        assert await find(connection, Known((KEY.verifier,))) == set()
        for known in (NEWER(trail.kept), NEWER(trail.kept, True)):
            assert await find(connection, known) == rewritten
        await rewrite_ledger(connection, SignerKey(ORIGIN, bytes(32)))
        unsigned = "its newest checkpoint, of {} entries, is not valid: none of the known keys has signed it"
        size = (await connection.exec_driver_sql("SELECT size FROM ledger")).scalar_one()
        assert await find(connection, Known((KEY.verifier,))) == {("ledger", unsigned.format(size))}


async def test_a_ledger_that_was_set_back_is_found(trail: Trail) -> None:
    async with tampered(trail) as connection:
        await remove_with_its_chain(connection, trail.new)
        await remove_with_its_chain(connection, trail.old)
        await rewrite_ledger(connection)
        found = await find(connection, NEWER(trail.kept))
    cut = f"it has {trail.kept.size - 3} entries, and the checkpoint {trail.kept.size}: its end was cut off"
    assert found == {("ledger", cut)}


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE ledger SET root = sha256('x')", "its root is not that of its 308 entries"),
        ("UPDATE ledger_checkpoint SET root = sha256('x')", "says another size or root than its row"),
        ("UPDATE ledger_checkpoint SET note = note || 'x'", "is not valid: must be a text, a blank line"),
        ("UPDATE ledger SET size = 300", "is larger than the ledger of 300: its end was cut off"),
        ("INSERT INTO ledger_tile VALUES (0, 7, sha256('x'))", "tile 0/007 is beyond the ledger's size of 308"),
        ("DELETE FROM ledger_entry WHERE index = 100", "entry 100 is missing"),
        ("DELETE FROM ledger_checkpoint", "no checkpoint signs its 308 entries"),
        ("DELETE FROM ledger", "its row is gone"),
    ],
)
async def test_head_and_checkpoint_are_those_of_the_entries(trail: Trail, statement: str, finding: str) -> None:
    async with tampered(trail) as connection:
        await connection.exec_driver_sql(statement)
        found = await find(connection, Known((KEY.verifier,)))
    assert any(subject == "ledger" and finding in text for subject, text in found), found


async def test_what_is_not_sealed_yet_is_no_finding_and_is_checked(
    trail: Trail, client_of_module: httpx2.AsyncClient
) -> None:
    record = await create_audit(client_of_module)
    async with tampered(trail) as connection:
        for known in (Known(), NEWER(trail.kept)):
            assert await find(connection, known) == set()
        await connection.exec_driver_sql("UPDATE audit SET status = 'failure' WHERE id = $1", (record["id"],))
        assert {subject for subject, _ in await find(connection, NEWER(trail.kept))} == {record["id"]}


async def test_several_processes_find_what_one_finds(
    trail: Trail, connection_of_module: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("src.ledger.verify._WORTH_PROCESSES", 1)
    monkeypatch.setenv("DATABASE_URL", trail.settings.database_url.get_secret_value())
    change = "UPDATE audit SET status = $2 WHERE id = $1"
    await connection_of_module.execute(change, trail.new, "failure")
    assert await main(NEWER(trail.kept)) == 1
    await connection_of_module.execute(change, trail.new, "success")
    assert capsys.readouterr().out == f"{trail.new}: the record is not what version 3 says\n"


async def run(trail: Trail, *options: str, **environment: str) -> programs.Done:
    url = trail.settings.database_url.get_secret_value()
    return await programs.run("src.ledger.verify", *options, DATABASE_URL=url, **environment)


async def test_the_command_takes_a_checkpoint_and_the_key(trail: Trail, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text(trail.note)
    signer = {"LEDGER_KEY": KEY.secret, "LEDGER_ORIGIN": ORIGIN}
    done = await run(trail, "--since", str(tmp_path / "kept"), **signer)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"has only grown since the checkpoint of {trail.kept.size}" in done.stderr
    assert "revisions read, those since entry 305 and part " in done.stderr
    done = await run(trail, "--since", str(tmp_path / "kept"), "--key", str(KEY.verifier).replace("trail+", "other+"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "verify: --key has an id that is not that of its name and key\n"
    done = await run(trail, "--since", str(tmp_path / "kept"), "--key", str(MLDSA_KEY.verifier))
    assert done.returncode == 1
    assert done.stderr.endswith("is no checkpoint of this ledger: none of the known keys has signed it\n")


OTHER_NOTE = sign_note(str(Checkpoint("other.example.org", 0, bytes(32))), [SignerKey("other.example.org", bytes(32))])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"\xff", "is no checkpoint: it is not UTF-8"),
        (b"", "is no checkpoint of this ledger: must be a text, a blank line and lines of signatures"),
        (OTHER_NOTE.encode(), "is no checkpoint of this ledger: none of the known keys has signed it"),
        (sign_note("x\n", [KEY]).encode(), "must have an origin, a size and a root, each in a line"),
    ],
)
def test_what_is_no_checkpoint_of_this_ledger_is_said_in_one_line(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "kept").write_bytes(content)
    with pytest.raises(Unusable) as refused:
        read_checkpoint(tmp_path / "kept", (KEY.verifier,))
    assert str(refused.value).startswith(f"{tmp_path}/kept: ")
    assert str(refused.value).endswith(said)
    with pytest.raises(Unusable, match="needs the verifier key"):
        read_checkpoint(tmp_path / "kept", ())


def test_a_key_of_ml_dsa_reads_what_it_has_signed(tmp_path: Path) -> None:
    checkpoint = Checkpoint(ORIGIN, 7, bytes(32))
    (tmp_path / "kept").write_text(sign_note(str(checkpoint), [KEY, MLDSA_KEY]))
    assert read_checkpoint(tmp_path / "kept", (MLDSA_KEY.verifier,)) == checkpoint
    (tmp_path / "kept").write_text(sign_note(str(checkpoint), [KEY]))
    with pytest.raises(Unusable, match="none of the known keys has signed it"):
        read_checkpoint(tmp_path / "kept", (MLDSA_KEY.verifier,))


async def test_a_checkpoint_of_another_origin_is_refused(trail: Trail) -> None:
    async with tampered(trail) as connection:
        with pytest.raises(Unusable, match=r"the checkpoint is of other\.example\.org, and the ledger here is audit"):
            await find(connection, Known((KEY.verifier,), Checkpoint("other.example.org", 0, bytes(32))))
