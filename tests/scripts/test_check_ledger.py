"""The checker accepts what the service hands out, and nothing that differs from it."""

import json
import random
from pathlib import Path
from typing import Any

import httpx2
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from scripts.check_ledger import canonicalize, main, parse_json
from src.ledger.notes import SignerKey
from src.ledger.sealer import Sealer
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.ledger.conftest import KEY, LEDGER, ORIGIN, sealer, signed, transactions

__all__ = ["sealer", "signed", "transactions"]

VKEY = str(KEY.verifier)
OTHER = str(SignerKey(ORIGIN, bytes(32)).verifier)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
async def files(signed: httpx2.AsyncClient, sealer: Sealer, tmp_path: Path) -> Path:
    """A folder with all that an auditor can get."""

    async def save(name: str, path: str, **options: Any) -> None:
        answer = await signed.get(f"{LEDGER}{path}", **options)
        assert answer.status_code == 200, answer.text
        (tmp_path / name).write_bytes(answer.content)

    record = await create_audit(
        signed, details={"n": 1e-7, "big": 1e22, "text": "Grüße 😀\u2028", "é": [1, True, None]}
    )
    await signed.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"}, headers={"X-Actor-Id": "u-4"})
    await signed.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 5})
    await sealer.seal_all()
    await save("old", "/checkpoint")
    await signed.post(f"{AUDITS}/batch", json={"items": [audit_body()] * 6})
    await sealer.seal_all()
    await save("new", "/checkpoint")
    await save("consistency", "/consistency", params={"from": 7})
    await save("proof.tlog-proof", f"/proofs/{record['id']}", headers={"Accept": "text/plain"})
    await save("proof.json", f"/proofs/{record['id']}")
    await save("changes.ndjson", "/changes/export")
    return tmp_path


def check(folder: Path, *arguments: str, key: str = VKEY) -> int:
    options = [argument if argument.startswith("--") else str(folder / argument) for argument in arguments]
    return main([*options, "--key", key])


async def test_what_the_service_hands_out_holds(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("proof.tlog-proof", "proof.json"):
        assert check(files, name) == 0
        assert "Proved: version 2 (update) of record" in capsys.readouterr().out
        assert check(files, name, "consistency", "--since", "old") == 0
        assert "the ledger has only grown since the 7 entries" in capsys.readouterr().out
    assert check(files, "changes.ndjson", "--checkpoint", "new") == 0
    assert "has all 13 entries" in capsys.readouterr().out
    assert check(files, "changes.ndjson", "--checkpoint", "new", "--since", "old") == 0
    assert check(files, "changes.ndjson", "--checkpoint", "old", "--since", "old") == 0


async def test_another_key_another_checkpoint_and_missing_files_do_not_hold(files: Path) -> None:
    assert check(files, "proof.tlog-proof", key=OTHER) == 1
    assert check(files, "changes.ndjson", "--checkpoint", "new", key=OTHER) == 1
    assert check(files, "changes.ndjson", "--checkpoint", "old", "--since", "new") == 1
    assert check(files, "proof.tlog-proof", "--since", "old") == 1
    assert check(files, "nothing") == 1
    assert check(files, "changes.ndjson") == 1


@pytest.mark.parametrize("name", ["proof.tlog-proof", "proof.json", "consistency"])
async def test_whatever_byte_is_changed_is_refused(files: Path, name: str) -> None:
    chance = random.Random()
    raw = (files / name).read_bytes()
    arguments = ("proof.json", "changed", "--since", "old") if name == "consistency" else ("changed",)
    for position in range(chance.randrange(9), len(raw), 9):
        changed = bytearray(raw)
        changed[position] ^= 1 << chance.randrange(8)
        (files / "changed").write_bytes(changed)
        assert check(files, *arguments) == 1, (position, bytes(changed[position - 20 : position + 20]))


@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: lines[:-1],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: lines[1:],
        lambda lines: [*lines[:3], *lines[4:]],
        lambda lines: [lines[0].replace('"create"', '"delete"'), *lines[1:]],
        lambda lines: [json.dumps(json.loads(lines[0]) | {"hash": "0" * 64}) + "\n", *lines[1:]],
        lambda lines: [*lines[:-1], lines[-1].rstrip("\n")],
    ],
)
async def test_an_export_that_was_changed_is_refused(files: Path, edit: Any) -> None:
    lines = (files / "changes.ndjson").read_text().splitlines(keepends=True)
    (files / "changed").write_text("".join(edit(lines)))
    assert check(files, "changed", "--checkpoint", "new") == 1


@given(JSON_VALUES)
def test_canonical_json_is_that_of_rfc_8785(value: Any) -> None:
    parsed = parse_json(json.dumps(value))
    assert canonicalize(parsed).encode("utf-8", "surrogatepass") == rfc8785.dumps(value)
