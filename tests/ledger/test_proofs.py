"""Whoever has a key can check what the API answers, with nothing but RFC 9162 and the formats of C2SP."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
import rfc8785

from src.audits import statements
from src.audits.constants import Operation
from src.audits.revisions import Attribution, seal
from src.config import LOG_MAX_LINE_BYTES, DatabaseSettings
from src.ledger.checkpoints import Checkpoint
from src.ledger.notes import open_note, split_note
from src.ledger.sealer import Sealer
from src.ledger.witness_task import Transactions
from src.log_lines import to_line
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.ledger import rfc9162
from tests.ledger.conftest import KEY, LEDGER, MLDSA_KEY, ORIGIN, SIGNED_TWICE
from tests.ledger.revisions import write

TEXT = {"Accept": "text/plain"}
MANY = """
    INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash)
    SELECT gen_random_uuid(), 1, 'create', now(), '{}', '', sha256(n::text::bytea) FROM generate_series(1, $1) AS n
"""


def check_proof(proof: dict[str, Any]) -> None:
    """Everything that a verifier checks of the JSON of a proof with a document."""
    checkpoint = Checkpoint.parse(open_note(proof["checkpoint"], [KEY.verifier]))
    assert checkpoint == Checkpoint(ORIGIN, proof["size"], bytes.fromhex(proof["root"]))
    leaf, path = rfc9162.leaf(proof["entry"].encode()), [bytes.fromhex(each) for each in proof["hashes"]]
    assert rfc9162.is_included(leaf, proof["index"], proof["size"], path, checkpoint.root)
    entry, document = json.loads(proof["entry"]), proof["document"]
    assert sha256(rfc8785.dumps(document)).hexdigest() == entry["hash"]
    assert {name: document[name] for name in ("audit_id", "version", "operation")} | {"hash": entry["hash"]} == entry


async def test_each_version_of_a_record_has_a_proof_and_a_removed_record_too(
    signed: httpx2.AsyncClient, sealer: Sealer
) -> None:
    record = await create_audit(signed, details={"n": 0.1, "text": "Grüße 😀\u2028", "list": [1, None, True]})
    url = f"{AUDITS}/{record['id']}"
    await signed.patch(url, json={"status": "failure"}, headers={"X-Actor-Id": "u-4", "X-Change-Reason": "wrong"})
    await signed.delete(url)
    await signed.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 300})
    await sealer.seal_all()
    for version in (1, 2, 3):
        answer = await signed.get(f"{LEDGER}/proofs/{record['id']}", params={"version": version})
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == version
        check_proof(answer.json())
    assert (await signed.get(f"{LEDGER}/proofs/{record['id']}")).json() == answer.json()


@pytest.mark.parametrize("microsecond", [0, 250_000, 10])
async def test_a_proof_shows_times_as_they_were_hashed(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection, microsecond: int
) -> None:
    record = await create_audit(signed)
    await signed.delete(f"{AUDITS}/{record['id']}")
    now = datetime(2026, 1, 31, 12, 0, 0, microsecond, tzinfo=UTC)
    revision = seal(record | {"id": str(uuid4())}, Operation.CREATE, Attribution(), now, None)
    assert await connection.fetch(statements.CREATE.sql, *statements.parameters([revision]).values())
    await sealer.seal_all()
    check_proof((await signed.get(f"{LEDGER}/proofs/{revision.audit_id}")).json())


async def test_a_proof_is_one_file_that_holds_all(signed: httpx2.AsyncClient, sealer: Sealer) -> None:
    record = await create_audit(signed)
    await signed.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 3})
    await sealer.seal_all()
    proof = (await signed.get(f"{LEDGER}/proofs/{record['id']}")).json()
    answer = await signed.get(f"{LEDGER}/proofs/{record['id']}", headers=TEXT)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == proof["tlog_proof"]
    head, _, note = answer.text.partition("\n\n")
    name, extra, index, *hashes = head.split("\n")
    assert (name, index, note) == ("c2sp.org/tlog-proof@v1", f"index {proof['index']}", proof["checkpoint"])
    assert [b64decode(each).hex() for each in hashes] == proof["hashes"]
    assert b64decode(extra.removeprefix("extra ")) == rfc8785.dumps(proof["document"])


async def test_what_is_not_sealed_or_not_there_has_no_proof(signed: httpx2.AsyncClient, sealer: Sealer) -> None:
    record = await create_audit(signed)
    url = f"{LEDGER}/proofs/{record['id']}"
    answer = await signed.get(url)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (409, "not-sealed", "1")
    await sealer.seal_all()
    assert (await signed.get(url)).status_code == 200
    assert (await signed.get(url, params={"version": 2})).json()["code"] == "revision-not-found"
    assert (await signed.get(f"{LEDGER}/proofs/{UUID(int=1)}")).status_code == 404
    for version in ("0", "x", 2**31):
        assert (await signed.get(url, params={"version": version})).status_code == 422


async def test_the_problem_says_why_a_revision_is_not_sealed(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection
) -> None:
    await sealer.seal_all()
    url = f"{LEDGER}/proofs/{(await create_audit(signed))['id']}"
    assert "within seconds" in (await signed.get(url)).json()["detail"]
    await connection.execute("UPDATE ledger SET forked = 'x'")
    assert "is forked" in (await signed.get(url)).json()["detail"]
    await connection.execute("UPDATE ledger SET database_oid = database_oid - 1")
    assert "is a copy" in (await signed.get(url)).json()["detail"]


async def test_a_missing_checkpoint_is_told_from_a_missing_key(
    client: httpx2.AsyncClient, signed: httpx2.AsyncClient
) -> None:
    for each, reason in ((client, "LEDGER_KEY is not set"), (signed, f"Nothing has been signed as {ORIGIN} yet")):
        assert (await each.get(f"{LEDGER}/checkpoint")).json()["detail"].startswith(reason)


async def test_without_a_key_there_is_all_but_signatures(
    client: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection
) -> None:
    await write(connection)
    record = await create_audit(client)
    await sealer.seal_all()
    answer = await client.get(f"{LEDGER}/checkpoint")
    assert (answer.status_code, answer.json()["code"]) == (404, "ledger-unsigned")
    proof = (await client.get(f"{LEDGER}/proofs/{record['id']}")).json()
    assert (proof["size"], proof["checkpoint"], proof["tlog_proof"]) == (2, None, None)
    assert (await client.get(f"{LEDGER}/proofs/{record['id']}", headers=TEXT)).json()["code"] == "ledger-unsigned"
    status = (await client.get(LEDGER)).json()
    assert (status["state"], status["size"], status["signed"], status["keys"]) == ("ok", 2, False, [])
    assert len((await client.get(f"{LEDGER}/tile/0/000.p/2")).content) == 64


async def test_status_says_how_far_the_ledger_is(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection
) -> None:
    status = (await signed.get(LEDGER)).json()
    assert (status["size"], status["last_checkpoint"], status["oldest_unsealed_seconds"]) == (0, None, None)
    await sealer.seal_all()
    await write(connection)
    waiting = (await signed.get(LEDGER)).json()
    assert 0 <= waiting["oldest_unsealed_seconds"] < 10
    assert waiting["state"] == "ok"
    await sealer.seal_all()
    status = (await signed.get(LEDGER)).json()
    assert (status["size"], status["last_checkpoint"]["size"]) == (1, 1)
    assert (status["oldest_unsealed_seconds"], status["keys"]) == (None, [str(KEY.verifier)])
    await connection.execute("UPDATE ledger SET system_identifier = 1")
    assert (await signed.get(LEDGER)).json()["state"] == "cloned"


async def test_with_an_ml_dsa_key_each_checkpoint_has_its_line_beside_that_of_ed25519(
    database: DatabaseSettings,
    connection: asyncpg.Connection,
    transactions: Transactions,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="src.ledger")
    sealer = Sealer(transactions, SIGNED_TWICE)
    await write(connection)
    for _ in range(2):
        await sealer.seal_all()
    async with run_application(database, SIGNED_TWICE) as client:
        assert (await client.get(LEDGER)).json()["keys"] == [str(KEY.verifier), str(MLDSA_KEY.verifier)]
        note = (await client.get(f"{LEDGER}/checkpoint")).text
    text, signatures = split_note(note)
    assert [key_id for _, key_id, _ in signatures] == [KEY.verifier.id, MLDSA_KEY.verifier.id]
    assert open_note(note, [MLDSA_KEY.verifier]) == open_note(note, [KEY.verifier]) == text
    time = int.from_bytes(signatures[1][2][:8])
    assert abs(datetime.now(UTC).timestamp() - time) < 60
    logged = [record for record in caplog.records if hasattr(record, "checkpoint")]
    assert [record.__dict__["checkpoint"] for record in logged] == [note]
    assert json.loads(to_line({"checkpoint": note, "message": "x" * 100}, LOG_MAX_LINE_BYTES))["checkpoint"] == note


@pytest.mark.usefixtures("database_settings")
async def test_revisions_that_wait_for_long_are_reported(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    await write(connection)
    await connection.execute(
        "ALTER TABLE audit_revision DISABLE TRIGGER USER;"
        "UPDATE audit_revision SET changed_at = changed_at - interval '1 min'"
    )
    status = (await client.get(LEDGER)).json()
    assert (status["state"], 60 <= status["oldest_unsealed_seconds"] < 90) == ("behind", True)


@pytest.mark.usefixtures("database_settings")
async def test_a_lost_tile_is_503(signed: httpx2.AsyncClient, connection: asyncpg.Connection, sealer: Sealer) -> None:
    ids = [await write(connection) for _ in range(3)]
    await sealer.seal_all()
    await connection.execute("ALTER TABLE ledger_tile DISABLE TRIGGER USER; DELETE FROM ledger_tile")
    for path in ("consistency?from=1", f"proofs/{ids[0]}"):
        answer = await signed.get(f"{LEDGER}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
        assert answer.json()["detail"] == "Tile 0/0 of the ledger has lost hashes. The operator has to restore it."


@pytest.mark.parametrize("sizes", [(1, 2, 255, 256, 257, 600)])
async def test_tiles_and_consistency_are_those_of_each_checkpoint(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection, sizes: tuple[int, ...]
) -> None:
    checkpoints = []
    for before, size in zip((0, *sizes), sizes, strict=False):
        await connection.execute(MANY, size - before)
        await sealer.seal_all()
        answer = await signed.get(f"{LEDGER}/checkpoint")
        assert answer.headers["cache-control"] == "no-cache"
        checkpoints.append(Checkpoint.parse(open_note(answer.text, [KEY.verifier])))
    assert [checkpoint.size for checkpoint in checkpoints] == [*sizes]
    leaves = b"".join([(await signed.get(f"{LEDGER}/tile/0/{path}")).content for path in ("000", "001", "002.p/88")])
    hashes = [leaves[start : start + 32] for start in range(0, len(leaves), 32)]
    bundle = (await signed.get(f"{LEDGER}/tile/entries/002.p/88")).content
    for leaf in hashes[512:]:
        length = int.from_bytes(bundle[:2])
        assert rfc9162.leaf(bundle[2 : 2 + length]) == leaf
        bundle = bundle[2 + length :]
    assert not bundle
    for number, new in enumerate(checkpoints):
        assert rfc9162.tree_hash(hashes[: new.size]) == new.root
        for old in checkpoints[: number + 1]:
            query = {"from": old.size, "to": new.size}
            proof = (await signed.get(f"{LEDGER}/consistency", params=query)).json()
            assert (proof["from_root"], proof["to_root"]) == (old.root.hex(), new.root.hex())
            path = [bytes.fromhex(each) for each in proof["hashes"]]
            assert old == new or rfc9162.is_consistent(old.size, new.size, path, old.root, new.root)


async def test_tiles_that_are_not_published_are_not_there(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection
) -> None:
    await connection.execute(MANY, 256)
    await sealer.seal_all()
    answer = await signed.get(f"{LEDGER}/tile/1/000.p/1")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.content == rfc9162.tree_hash(
        [(await signed.get(f"{LEDGER}/tile/0/000")).content[start : start + 32] for start in range(0, 8192, 32)]
    )
    missing = ("0/001.p/1", "0/001", "1/000", "1/000.p/2", "2/000.p/1", "0/0", "0/000.p/256", "entries/001.p/1")
    levels = ("63", "64", "00", "01", "1000000", "-1", "+0", "x", "\u0660", "0.0")
    for path in (*missing, *(f"{level}/000.p/1" for level in levels), "0/x000/000", "0/000/", "entries/"):
        answer = await signed.get(f"{LEDGER}/tile/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "tile-not-found"), path
        assert answer.headers["cache-control"] == "no-store", path
    await connection.execute(MANY, 1)
    assert (await signed.get(f"{LEDGER}/tile/0/001.p/1")).status_code == 404


async def test_checkpoints_and_tiles_have_heads_and_entity_tags(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection
) -> None:
    await connection.execute(MANY, 256)
    await sealer.seal_all()
    paths = {
        "checkpoint": "text/plain; charset=utf-8",
        "tile/0/000": "application/octet-stream",
        "tile/entries/000": "application/octet-stream",
    }
    tags = set()
    for path, media_type in paths.items():
        signed.headers["Accept-Encoding"] = "identity"
        answer = await signed.get(f"{LEDGER}/{path}")
        head = await signed.head(f"{LEDGER}/{path}")
        for name in ("content-type", "content-length", "etag", "cache-control"):
            assert head.headers[name] == answer.headers[name], path
        assert (answer.headers["content-type"], head.content) == (media_type, b""), path
        tag = answer.headers["etag"]
        tags.add(tag)
        for header in (tag, f"W/{tag}", f'"other", {tag[:-1]}-gzip"', "*"):
            same = await signed.get(f"{LEDGER}/{path}", headers={"If-None-Match": header})
            assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), header
            assert same.headers["cache-control"] == answer.headers["cache-control"]
        for header in ('"other"', tag[1:-1], f'"{tag[1:-2]}"'):
            other = await signed.get(f"{LEDGER}/{path}", headers={"If-None-Match": header})
            assert (other.status_code, other.content) == (200, answer.content), header
    await connection.execute(MANY, 1)
    await sealer.seal_all()
    assert (await signed.get(f"{LEDGER}/checkpoint")).headers["etag"] not in tags


async def test_bundles_are_compressed_for_whoever_takes_gzip(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection
) -> None:
    await connection.execute(MANY, 256)
    await sealer.seal_all()
    url = f"{LEDGER}/tile/entries/000"
    plain = await signed.get(url, headers={"Accept-Encoding": "identity"})
    answer = await signed.get(url, headers={"Accept-Encoding": "br;q=1, GZIP;q=0.5"})
    assert ("content-encoding" in plain.headers, answer.headers["content-encoding"]) == (False, "gzip")
    assert answer.content == plain.content
    assert int(answer.headers["content-length"]) < len(plain.content) / 2
    assert answer.headers["etag"] != plain.headers["etag"]
    for each in (plain, answer):
        assert each.headers["vary"] == "Accept-Encoding, Origin"
    again = await signed.get(url, headers={"Accept-Encoding": "gzip", "If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for refused in ("gzip;q=0", "gzip;q=0, *", "br", ""):
        assert "content-encoding" not in (await signed.get(url, headers={"Accept-Encoding": refused})).headers, refused
    for accepted in ("*", "x-gzip", "gzip, identity"):
        assert (await signed.get(url, headers={"Accept-Encoding": accepted})).headers["content-encoding"] == "gzip"


async def test_the_file_of_a_proof_goes_to_whoever_prefers_it(signed: httpx2.AsyncClient, sealer: Sealer) -> None:
    record = await create_audit(signed)
    await sealer.seal_all()
    for accept, media_type in (
        ("text/plain;q=0", "application/json"),
        ("*/*", "application/json"),
        ("TEXT/PLAIN", "text/plain; charset=utf-8"),
        ("text/*", "text/plain; charset=utf-8"),
    ):
        answer = await signed.get(f"{LEDGER}/proofs/{record['id']}", headers={"Accept": accept, "Origin": "http://a"})
        assert answer.headers["content-type"] == media_type, accept
        assert answer.headers["vary"] == "Accept, Origin", accept


@pytest.mark.parametrize("gone", ["the record", "the salt", "the revision"])
@pytest.mark.usefixtures("database_settings")
async def test_a_redacted_revision_has_its_proof_and_no_document(
    signed: httpx2.AsyncClient, sealer: Sealer, connection: asyncpg.Connection, gone: str
) -> None:
    record = await create_audit(signed)
    await sealer.seal_all()
    url = f"{LEDGER}/proofs/{record['id']}"
    before = (await signed.get(url)).json()
    await connection.execute(
        "ALTER TABLE audit_revision DISABLE TRIGGER USER;"
        "ALTER TABLE audit_revision ALTER record DROP NOT NULL, ALTER salt DROP NOT NULL;"
        + {
            "the record": "UPDATE audit_revision SET record = NULL",
            "the salt": "UPDATE audit_revision SET salt = NULL",
            "the revision": "DELETE FROM audit_revision",
        }[gone]
    )
    after = (await signed.get(url)).json()
    without_extra = before["tlog_proof"].replace("\n" + before["tlog_proof"].split("\n")[1], "")
    assert after == before | {"document": None, "tlog_proof": without_extra}
    assert (await signed.get(url, params={"version": 1}, headers=TEXT)).text == without_extra
    assert (await signed.get(url, params={"version": 2})).json()["code"] == "revision-not-found"


async def test_sizes_that_there_are_not_are_refused(signed: httpx2.AsyncClient, sealer: Sealer) -> None:
    await create_audit(signed)
    await sealer.seal_all()
    for query in ({"from": 2}, {"from": 0, "to": 2}, {"from": 1, "to": 0}, {"from": -1}, {}, {"from": 2**63}):
        assert (await signed.get(f"{LEDGER}/consistency", params=query)).status_code == 422, query
    empty = (await signed.get(f"{LEDGER}/consistency", params={"from": 0})).json()
    assert (empty["from_root"], empty["to"], empty["hashes"]) == (sha256().hexdigest(), 1, [])
