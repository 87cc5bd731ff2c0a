"""The checker accepts what the service hands out, and nothing that differs from it."""

import json
import random
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from scripts.check_ledger import canonicalize, main, parse_json
from src.ledger.checkpoints import Checkpoint, format_proof
from src.ledger.cosignatures import MlDsaSignerKey
from src.ledger.entries import encode_entry
from src.ledger.merkle import hash_leaf
from src.ledger.notes import SignerKey, sign_note
from src.ledger.sealer import Sealer
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.ledger.conftest import KEY, LEDGER, MLDSA_KEY, ORIGIN, sealer, signed, transactions

__all__ = ["sealer", "signed", "transactions"]

VKEY, MLDSA_VKEY = str(KEY.verifier), str(MLDSA_KEY.verifier)
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


def check(folder: Path, *arguments: str, key: str = VKEY, second: str | None = None) -> int:
    options = [argument if argument.startswith("--") else str(folder / argument) for argument in arguments]
    return main([*options, "--key", key, *(["--key", second] if second else [])])


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


async def test_another_key_another_checkpoint_and_missing_files_do_not_hold(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(files, "proof.tlog-proof", key=OTHER) == 1
    assert check(files, "changes.ndjson", "--checkpoint", "new", key=OTHER) == 1
    assert check(files, "changes.ndjson", "--checkpoint", "old", "--since", "new") == 1
    assert check(files, "proof.tlog-proof", "--since", "old") == 1
    capsys.readouterr()
    assert check(files, "nothing") == 1
    assert capsys.readouterr().out == f"NOT CHECKED: {files / 'nothing'}: No such file or directory\n"
    assert check(files, "changes.ndjson") == 1
    assert capsys.readouterr().out == "DOES NOT HOLD: this is an export, which needs --checkpoint\n"


async def test_whatever_byte_is_changed_is_refused(files: Path) -> None:
    chance = random.Random()
    for name, step in {"proof.tlog-proof": 1, "proof.json": 5, "consistency": 1, "new": 3}.items():
        raw = (files / name).read_bytes()
        arguments: tuple[str, ...] = ("changed",)
        if name == "consistency":
            arguments = ("proof.json", "changed", "--since", "old")
        elif name == "new":
            arguments = ("changes.ndjson", "--checkpoint", "changed")
        for position in range(0, len(raw), step):
            changed = bytearray(raw)
            changed[position] ^= 1 << chance.randrange(8)
            (files / "changed").write_bytes(changed)
            assert check(files, *arguments) == 1, (name, position, bytes(changed[position - 20 : position + 20]))


def changed_values(values: dict[str, Any]) -> Iterator[str]:
    """The JSON of the object without each member, with another value for each, and of other values."""
    for name in values:
        yield json.dumps({each: value for each, value in values.items() if each != name})
        others = [value for value in VALUES if value != values[name] and (name, value) != ("document", None)]
        yield from (json.dumps(values | {name: value}) for value in others)
    yield from map(json.dumps, VALUES)


VALUES = [None, True, 1.5, -1, 1e999, "1", "x", [], [1], {}, {"a": 1}, 2**60]


async def test_values_of_other_types_are_refused_in_one_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    for name, arguments in {
        "proof.json": ("changed",),
        "consistency": ("proof.json", "changed", "--since", "old"),
        "changes.ndjson": ("changed", "--checkpoint", "new"),
    }.items():
        first, *rest = (files / name).read_text().split("\n")
        values = json.loads(first)
        if name == "changes.ndjson":
            values = {each: values[each] for each in ("index", "audit_id", "version", "operation", "hash")}
        for changed in changed_values(values):
            (files / "changed").write_text("\n".join([changed, *rest]))
            assert check(files, *arguments) == 1, changed
            said = capsys.readouterr().out
            assert said.startswith("DOES NOT HOLD: "), changed
            assert said.count("\n") == 1


async def test_of_a_redacted_revision_the_entry_is_proved(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proof = json.loads((files / "proof.json").read_text())
    head, _, rest = proof["tlog_proof"].partition("\nextra ")
    redacted = proof | {"document": None, "tlog_proof": f"{head}\n{rest.partition(chr(10))[2]}"}
    (files / "redacted").write_text(json.dumps(redacted))
    assert check(files, "redacted") == 0
    assert "was recorded; its text is not here" in capsys.readouterr().out
    (files / "redacted").write_text(redacted["tlog_proof"])
    assert check(files, "redacted") == 1
    assert "ask for the JSON of the proof" in capsys.readouterr().out


class Witness:
    """One with the number 2 has a key of ML-DSA-44, the others have keys of Ed25519."""

    def __init__(self, number: int) -> None:
        seed, self.kind = bytes([number]) * 32, 6 if number == 2 else 4
        self.key: MLDSA44PrivateKey | Ed25519PrivateKey = (
            MLDSA44PrivateKey.from_seed_bytes(seed) if number == 2 else Ed25519PrivateKey.from_private_bytes(seed)
        )
        self.name = f"witness.example.org/{number}"
        self.public = bytes([self.kind]) + self.key.public_key().public_bytes_raw()
        self.id = sha256(f"{self.name}\n".encode() + self.public).digest()[:4]
        self.vkey = f"{self.name}+{self.id.hex()}+{b64encode(self.public).decode()}"

    def cosign(self, proof: str, time: int = 1_800_000_000) -> str:
        """The proof with a cosignature of its checkpoint (c2sp.org/tlog-cosignature)."""
        text = proof.partition("\n\n")[2].rpartition("\n\n")[0] + "\n"
        message = f"cosignature/v1\ntime {time}\n{text}".encode()
        if self.kind == 6:
            origin, size, root = text.split("\n")[:3]
            names = [bytes([len(name)]) + name.encode() for name in (self.name, origin)]
            subtree = bytes(8) + int(size).to_bytes(8) + b64decode(root)
            message = b"subtree/v1\n\0" + names[0] + time.to_bytes(8) + names[1] + subtree
        signature = self.key.sign(message)
        return f"{proof}\u2014 {self.name} {b64encode(self.id + time.to_bytes(8) + signature).decode()}\n"


WITNESSES = [Witness(number) for number in range(3)]
NAMED = "".join(f"witness w{number} {witness.vkey} https://w\n" for number, witness in enumerate(WITNESSES))


@pytest.mark.parametrize(
    ("policy", "cosigned_by", "status"),
    [
        (f"log {VKEY}\n{NAMED}group g 2 w0 w1 w2\nquorum g\n", [0, 2], 0),
        (f"# all\n\n{NAMED}\tgroup g all w0 w1\n group h any g w2\nquorum h", [2], 0),
        (f"{NAMED}group g 2 w0 w1 w2\nquorum g", [1], 1),
        (f"{NAMED}group g all w0 w1\ngroup h all g w2\nquorum h", [0, 2], 1),
        (f"{NAMED}quorum w1", [0, 2], 1),
        (f"{NAMED}quorum w1", [1], 0),
        ("quorum none", [], 0),
        (f"log {OTHER}\nquorum none", [], 1),
        (f"{NAMED}", [0], 1),
        (f"{NAMED}quorum w0\nquorum w0", [0], 1),
        (f"{NAMED}quorum w9", [0], 1),
        (f"{NAMED}group g 4 w0 w1 w2\nquorum g", [0, 1, 2], 1),
        (f"{NAMED}group g 1 w0 w0\nquorum g", [0], 1),
        (f"{NAMED}witness v {WITNESSES[0].vkey}\nquorum v", [0], 1),
        (f"{NAMED}group none any w0\nquorum none", [0], 1),
        (f"witness w {VKEY}\nquorum w", [0], 1),
        (f"log {MLDSA_VKEY}\nquorum none", [], 1),
        (f"log {OTHER}\nlog {VKEY}\nlog {MLDSA_VKEY}\n{NAMED}quorum w2", [2], 0),
        ("quorum", [0], 1),
        ("", [0], 1),
    ],
)
async def test_a_policy_asks_for_witnesses(
    proof_of_one: str, tmp_path: Path, policy: str, cosigned_by: list[int], status: int
) -> None:
    note = proof_of_one
    for number in cosigned_by:
        note = WITNESSES[number].cosign(note)
    (tmp_path / "proof").write_text(note)
    (tmp_path / "policy").write_text(policy)
    assert check(tmp_path, "proof", "--policy", "policy") == status


@pytest.fixture(scope="module")
def proof_of_one() -> str:
    """A proof of the only entry of a ledger."""
    document = rfc8785.dumps({"audit_id": str(UUID(int=1)), "operation": "create", "version": 1})
    entry = encode_entry(UUID(int=1), 1, "create", sha256(document).hexdigest())
    note = sign_note(str(Checkpoint(ORIGIN, 1, hash_leaf(entry))), [KEY])
    return format_proof(0, [], note, document)


@pytest.fixture(scope="module")
def signed_twice(proof_of_one: str) -> str:
    text = proof_of_one.partition("\n\n")[2].rpartition("\n\n")[0] + "\n"
    return proof_of_one + MLDSA_KEY.sign(text)


@pytest.mark.parametrize(
    ("key", "second", "of_one", "of_two"),
    [
        (VKEY, None, 0, 0),
        (MLDSA_VKEY, None, 1, 0),
        (VKEY, MLDSA_VKEY, 1, 0),
        (MLDSA_VKEY, VKEY, 1, 0),
        (OTHER, MLDSA_VKEY, 1, 1),
        (str(MlDsaSignerKey(ORIGIN, bytes(32)).verifier), None, 1, 1),
        (WITNESSES[0].vkey, None, 1, 1),
        (WITNESSES[2].vkey, None, 1, 1),
    ],
)
async def test_each_key_that_is_given_must_have_signed(
    proof_of_one: str, signed_twice: str, tmp_path: Path, key: str, second: str | None, of_one: int, of_two: int
) -> None:
    for proof, status in ((proof_of_one, of_one), (signed_twice, of_two)):
        (tmp_path / "proof").write_text(proof)
        assert check(tmp_path, "proof", key=key, second=second) == status


async def test_whatever_byte_of_two_signatures_is_changed_is_refused(signed_twice: str, tmp_path: Path) -> None:
    raw = signed_twice.encode()
    begin = raw.index(b"\n\n")
    for position in [*range(begin, begin + 300), *range(begin + 300, len(raw), 41), len(raw) - 2]:
        changed = bytearray(raw)
        changed[position] ^= 1
        (tmp_path / "proof").write_bytes(changed)
        assert check(tmp_path, "proof", second=MLDSA_VKEY) == 1, position


async def test_an_older_checkpoint_is_of_one_of_the_keys(files: Path, proof_of_one: str) -> None:
    """It was kept before there was a second key."""
    new = (files / "new").read_text()
    (files / "new").write_text(new + MLDSA_KEY.sign(new.rpartition("\n\n")[0] + "\n"))
    arguments = ("changes.ndjson", "--checkpoint", "new", "--since", "old")
    assert check(files, *arguments, second=MLDSA_VKEY) == 0
    assert check(files, *arguments, key=MLDSA_VKEY) == 1


async def test_a_cosignature_without_a_time_is_one(
    proof_of_one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "proof").write_text(WITNESSES[2].cosign(proof_of_one, time=0))
    (tmp_path / "policy").write_text(f"{NAMED}quorum w2")
    assert check(tmp_path, "proof", "--policy", "policy") == 0
    assert "Proved: witness w2 saw this ledger, and does not say when\n" in capsys.readouterr().out


async def test_a_wrong_cosignature_is_refused_and_others_say_nothing(
    proof_of_one: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cosigned = WITNESSES[0].cosign(proof_of_one)
    (tmp_path / "policy").write_text(f"{NAMED}group g any w0 w1\nquorum g")
    (tmp_path / "proof").write_text(WITNESSES[2].cosign(cosigned))
    assert check(tmp_path, "proof", "--policy", "policy") == 0
    assert "Proved: witness w0 saw this ledger at 2027-01-15T08:00:00Z" in capsys.readouterr().out
    (tmp_path / "proof").write_text(cosigned + WITNESSES[1].cosign("proof\n\nother\n\n").rpartition("\n\n")[2])
    assert check(tmp_path, "proof", "--policy", "policy") == 1


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
