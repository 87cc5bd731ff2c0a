"""Verifiers, monitors and a witness that others wrote work with the ledger as it is.

The trees have the sizes at which tiles and levels begin and end. Each verifier checks the saved notes and proofs, reads
tiles and entries over HTTP, makes the same proofs of them itself, and refuses what does not hold. Each checkpoint has a
line of ML-DSA-44, which those pass over that do not know it.
"""

import asyncio
import json
import shutil
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import httpx2
import pytest

from src.config import DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_ledger_pool
from src.ledger.sealer import Sealer
from tests.application import run_server
from tests.ledger.conftest import KEY, LEDGER, MLDSA_KEY, ORIGIN, SIGNED_TWICE
from tests.peers.conftest import FOLDER, run
from tests.peers.witness import need_new_python, run_witness

pytestmark = pytest.mark.peers

SIZES = (1, 2, 255, 256, 257, 65_536, 65_537)
# Proofs of 32 entries, and of 21 steps from one size to a larger one.
ALL_CHECKED = "checked 53\n"
GO_PACKAGES = Path("/usr/share/gocode")
MANY = """
    INSERT INTO audit_revision (audit_id, version, operation, changed_at, record, salt, hash)
    SELECT gen_random_uuid(), 1, 'create', now(), '{}', '', sha256(n::text::bytea) FROM generate_series(1, $1) AS n
"""
TOURS = FOLDER / "tours"


@dataclass(frozen=True)
class Ledger:
    """A ledger of the last of the sizes, and a folder for each size with what was served at that time."""

    url: str
    folder: Path

    @property
    def arguments(self) -> tuple[str, str, Path]:
        return self.url, str(KEY.verifier), self.folder


@pytest.fixture(scope="module")
async def ledger(
    database_of_module: DatabaseSettings,
    connection_of_module: asyncpg.Connection,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Ledger]:
    folder = tmp_path_factory.mktemp("ledger")
    pool = create_ledger_pool(database_of_module)
    sealer = Sealer(partial(driver_transaction, pool), SIGNED_TWICE)
    signing = {"LEDGER_ORIGIN": ORIGIN, "LEDGER_KEY": KEY.secret, "LEDGER_INTERVAL": "3600"}
    signing["LEDGER_MLDSA_KEY"] = MLDSA_KEY.secret
    url = database_of_module.database_url.get_secret_value()
    async with run_server(url, **signing) as server, httpx2.AsyncClient(base_url=server.url + LEDGER) as client:
        for before, size in zip((0, *SIZES), SIZES, strict=False):
            await connection_of_module.execute(MANY, size - before)
            await sealer.seal_all()
            await _save(client, connection_of_module, size, folder / str(size))
        await pool.dispose()
        yield Ledger(server.url + LEDGER, folder)


async def _save(client: httpx2.AsyncClient, connection: asyncpg.Connection, size: int, folder: Path) -> None:
    files = {"checkpoint": (await client.get("/checkpoint")).text}
    steps = [(await client.get("/consistency", params={"from": old, "to": size})).json() for old in SIZES if old < size]
    files["consistency.json"] = json.dumps(steps)
    indexes = {index for index in (0, 1, 254, 255, 256, size // 2, size - 1) if index < size}
    rows = await connection.fetch("SELECT index, audit_id FROM ledger_entry WHERE index = ANY($1)", [*indexes])
    for row in rows:
        proof = (await client.get(f"/proofs/{row['audit_id']}")).json()
        files |= {f"{row['index']}.tlog-proof": proof["tlog_proof"], f"{row['index']}.entry": proof["entry"]}
    await asyncio.to_thread(_write, folder, files)


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("name", ["tlog_scales", "proofbundle", "aics_tlog"])
async def test_a_verifier_accepts_every_note_tile_and_proof(ledger: Ledger, python_programs: Path, name: str) -> None:
    if name == "aics_tlog":
        need_new_python(python_programs)
    output = await run(python_programs / "python", TOURS / f"verify_with_{name}.py", *ledger.arguments, cwd=TOURS)
    assert output == ALL_CHECKED


async def test_verifiers_accept_the_signature_of_ml_dsa_beside_that_of_ed25519(
    ledger: Ledger, python_programs: Path
) -> None:
    program = TOURS / "verify_cosignature.py"
    for size in SIZES:
        arguments = (ledger.folder / str(size) / "checkpoint", str(KEY.verifier), str(MLDSA_KEY.verifier))
        assert await run(python_programs / "python", program, *arguments, cwd=TOURS) == f"cosigned {size}\n"


async def test_go_accepts_every_note_tile_and_proof(ledger: Ledger, tmp_path: Path) -> None:
    go = shutil.which("go")
    if not go or not (GO_PACKAGES / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("Go or golang.org/x/mod is not there: apt-get install golang-go golang-golang-x-mod-dev")
    offline = {"GO111MODULE": "off", "GOPATH": str(GO_PACKAGES), "GOCACHE": str(tmp_path), "GOFLAGS": ""}
    output = await run(go, "run", TOURS / "sumdb" / "main.go", *ledger.arguments, cwd=tmp_path, **offline)
    assert output == ALL_CHECKED


async def test_a_monitor_follows_the_ledger_on_the_command_line(
    ledger: Ledger, python_programs: Path, tmp_path: Path
) -> None:
    need_new_python(python_programs)
    vkey = tmp_path / "vkey"
    vkey.write_text(f"{KEY.verifier}\n")
    options = ("--vkey-file", vkey, "--tiles", ledger.url)
    seen = tmp_path / "seen"
    shutil.copy(ledger.folder / "257" / "checkpoint", seen)
    program = python_programs / "aics-tlog"
    follow = (program, "verify-consistency", *options, "--old-checkpoint", seen, "--save-checkpoint", seen)
    for old_size in (257, 65_537):
        report = json.loads(await run(*follow, cwd=tmp_path))
        assert (report["ok"], report["old_size"], report["new_size"]) == (True, old_size, 65_537), report
    report = await run(program, "verify-inclusion", *options, "--index", "65536", "--entry-out", "entry", cwd=tmp_path)
    assert (tmp_path / "entry").read_bytes() == (ledger.folder / "65537" / "65536.entry").read_bytes()


async def test_a_witness_cosigns_each_checkpoint(ledger: Ledger, python_programs: Path, tmp_path: Path) -> None:
    need_new_python(python_programs)
    async with run_witness(python_programs, tmp_path, KEY.verifier) as witness, httpx2.AsyncClient() as client:
        old_size = 0
        for size in SIZES:
            note = (ledger.folder / str(size) / "checkpoint").read_text()
            answer = await client.post(f"{witness.url}/add-checkpoint", content=_request(ledger, old_size, size))
            assert (answer.status_code, answer.text[:2]) == (200, "\u2014 "), answer.text
            witnessed = tmp_path / f"{size}"
            witnessed.write_text(note + answer.text)
            program = TOURS / "verify_cosignature.py"
            arguments = (witnessed, str(KEY.verifier), witness.key)
            assert await run(python_programs / "python", program, *arguments, cwd=TOURS) == f"cosigned {size}\n"
            old_size = size
        answer = await client.post(f"{witness.url}/add-checkpoint", content=_request(ledger, 257, SIZES[-1]))
        assert (answer.status_code, answer.text) == (409, f"{SIZES[-1]}\n")
        assert answer.headers["content-type"] == "text/x.tlog.size"


def _request(ledger: Ledger, old_size: int, size: int) -> str:
    """What c2sp.org/tlog-witness wants: the size that the witness knows, the proof from there, and the checkpoint."""
    steps = json.loads((ledger.folder / str(size) / "consistency.json").read_text())
    hashes = [each for step in steps if step["from"] == old_size for each in step["hashes"]]
    lines = [f"old {old_size}", *(b64encode(bytes.fromhex(each)).decode() for each in hashes), ""]
    return "\n".join(lines) + "\n" + (ledger.folder / str(size) / "checkpoint").read_text()
