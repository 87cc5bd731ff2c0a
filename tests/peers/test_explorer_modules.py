"""The modules of the explorer that compute: what they find is what the service's own code and the RFCs say.

The files under `explorer/` are tests of Node; here are the values that they compare with.
"""

import json
import math
import random
import re
import shutil
import struct
import subprocess
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from src.audits.constants import Operation
from src.audits.revisions import Attribution, Revision, canonicalize, seal
from src.audits.schemas import EXAMPLE_RECORD
from src.ledger.checkpoints import Checkpoint, format_proof
from src.ledger.entries import encode_entry
from src.ledger.merkle import Range, hash_children, hash_leaf, inclusion_proof
from src.ledger.notes import COSIGNATURE, SignerKey, VerifierKey, sign_note
from tests.ledger import rfc9162
from tests.ledger.conftest import KEY, MLDSA_KEY, ORIGIN
from tests.ledger.test_entries import GOLDEN
from tests.peers.conftest import FOLDER, run

pytestmark = pytest.mark.peers

# Appendix B of RFC 8785.
RFC_8785_NUMBERS = [
    0x0000000000000000, 0x8000000000000000, 0x0000000000000001, 0x8000000000000001, 0x7FEFFFFFFFFFFFFF,
    0xFFEFFFFFFFFFFFFF, 0x4340000000000000, 0xC340000000000000, 0x4430000000000000, 0x44B52D02C7E14AF5,
    0x44B52D02C7E14AF6, 0x44B52D02C7E14AF7, 0x444B1AE4D6E2EF4E, 0x444B1AE4D6E2EF4F, 0x444B1AE4D6E2EF50,
    0x3EB0C6F7A0B5ED8C, 0x3EB0C6F7A0B5ED8D, 0x41B3DE4355555553, 0x41B3DE4355555554, 0x41B3DE4355555555,
    0x41B3DE4355555556, 0x41B3DE4355555557, 0xBECBF647612F3696, 0x43143FF3C1CB0959,
]  # fmt: skip
# As they are sent, and as PostgreSQL prints them.
TEXTS = [
    # RFC 8785, 3.2.2 and 3.2.3.
    '{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000001], "literals": [null, true, false]}',
    r'{"string": "\u20ac$\u000F\u000aA\u0027\u0042\u0022\u005c\\\"\/"}',
    r'{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One"}',
    r'{"\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O", "\ufb33": ""}',
    "[1152921504606846976, 1152921504606847000, 9007199254740993, 1e23, 100000000000000000000000, 1.10, -0, -0.0, 1E5]",
    '{"10": 1, "9": 2, "2": [], "__proto__": {}, "": ""}',
    r'"\u007f\u0080\u2028\u2029</script>\u0008\t"',
]
SIZES = (*range(1, 18), 255, 256, 257)
COSIGNED_AT = 1_790_000_000


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if not found:
        pytest.skip("Node 20.19 or newer is not there")
    version = subprocess.run((found, "--version"), capture_output=True, text=True, check=True).stdout
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (20, 19):
        pytest.skip(f"Node 20.19 or newer is not there, but {version.strip()}")
    return found


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explorer") / "vectors.json"
    values = {"canonical": _canonical(), "large": _large(), **_trees(), **_notes(), **_proof()}
    path.write_text(json.dumps(values))
    return path


def _canonical() -> list[dict[str, str]]:
    bits = [*RFC_8785_NUMBERS, *(random.Random(5).getrandbits(64) for _ in range(500))]
    doubles = [struct.unpack(">d", each.to_bytes(8))[0] for each in bits]
    sent = [*TEXTS, *(repr(each) for each in doubles if math.isfinite(each))]
    return [{"sent": each, "canonical": canonicalize(json.loads(each)).decode()} for each in sent]


def _large() -> str:
    """Details of 64 KB with 32 levels."""
    nested = '{"a":' * 30 + '"bottom"' + "}" * 30
    many = json.dumps([*range(11_500)], separators=(",", ":"))
    return f'{{"a":{nested},"many":{many}}}'


def _trees() -> dict[str, Any]:
    leaves = [hash_leaf(b"entry %d" % number) for number in range(SIZES[-1])]
    inclusion = [
        {
            "leaf": leaves[index].hex(),
            "index": index,
            "size": size,
            "hashes": [_hash(leaves, each).hex() for each in inclusion_proof(index, size)],
            "root": rfc9162.tree_hash(leaves[:size]).hex(),
        }
        for size in SIZES
        for index in sorted({0, 1, size // 2, size - 1})
        if index < size
    ]
    golden = [{"entry": entry.decode(), "hash": leaf} for _, entry, leaf in GOLDEN]
    return {"inclusion": inclusion, "leaves": golden, "deep": _deep(leaves)}


def _hash(leaves: list[bytes], part: Range) -> bytes:
    return rfc9162.tree_hash(leaves[part.start : part.end])


def _deep(leaves: list[bytes]) -> dict[str, Any]:
    """The proof of the last leaf of a tree of 2^40 + 2^33 + 3 leaves."""
    size = 2**40 + 2**33 + 3
    index = size - 1
    parts = inclusion_proof(index, size)
    hashes = leaves[1 : len(parts) + 1]
    root = leaves[0]
    for part, sibling in zip(parts, hashes, strict=True):
        root = hash_children(sibling, root) if part.start < index else hash_children(root, sibling)
    return {
        "leaf": leaves[0].hex(),
        "index": index,
        "size": size,
        "hashes": [h.hex() for h in hashes],
        "root": root.hex(),
    }


def _notes() -> dict[str, Any]:
    text = str(Checkpoint(ORIGIN, 7, hash_leaf(b"root")))
    witness = SignerKey("witness.example.org", bytes(range(64, 96)))
    message = f"cosignature/v1\ntime {COSIGNED_AT}\n{text}"
    key = VerifierKey(witness.name, witness.verifier.public, COSIGNATURE)
    signature = key.id + COSIGNED_AT.to_bytes(8) + witness.signature_of(message)
    line = f"\u2014 {key.name} {_base64(signature)}\n"
    return {
        "origin": ORIGIN,
        "size": 7,
        "note": sign_note(text, [KEY]),
        "key": str(KEY.verifier),
        "other_key": str(SignerKey(ORIGIN, bytes(range(1, 33))).verifier),
        "mldsa_key": str(MLDSA_KEY.verifier),
        "signed_twice": sign_note(text, [KEY, MLDSA_KEY]),
        "cosigned": sign_note(text, [KEY]) + line,
        "cosigned_at": COSIGNED_AT,
    }


def _proof() -> dict[str, Any]:
    """The proof of a record's first version as `GET /ledger/proofs/{audit_id}` answers, and as its history shows it."""
    revision = _seal()
    document = {
        name: getattr(revision, name) for name in ("audit_id", "version", "operation", "changed_by", "reason", "record")
    } | {
        "salt": revision.salt.hex(),
        "previous_hash": None,
        "changed_at": revision.changed_at.isoformat().replace("+00:00", "Z"),
    }
    entry = encode_entry(revision.audit_id, revision.version, revision.operation, revision.hash.hex())
    index, size = 4, 7
    leaves = [hash_leaf(b"entry %d" % number) for number in range(size)]
    leaves[index] = hash_leaf(entry)
    root = rfc9162.tree_hash(leaves)
    hashes = [_hash(leaves, each) for each in inclusion_proof(index, size)]
    checkpoint = sign_note(str(Checkpoint(ORIGIN, size, root)), [KEY])
    proof = {
        "audit_id": revision.audit_id,
        "version": revision.version,
        "index": index,
        "size": size,
        "root": root.hex(),
        "hashes": [each.hex() for each in hashes],
        "entry": entry.decode(),
        "checkpoint": checkpoint,
        "tlog_proof": format_proof(index, hashes, checkpoint, canonicalize(document)),
    }
    # The history shows each number as PostgreSQL does, and times with six digits.
    shown = document | {"hash": revision.hash.hex(), "changed_at": "2026-01-31T12:00:00.250000Z"}
    return {
        "audit_id": revision.audit_id,
        "other_id": str(UUID(int=0)),
        "proof": json.dumps(proof)[:-1] + ', "document": ' + canonicalize(document).decode() + "}",
        "shown": json.dumps(shown).replace("1.5", "1.50"),
    }


def _seal() -> Revision:
    details = {"amount": 1.5, "large": 1152921504606846976, "text": "\u20ac\u2028"}
    changed_at = datetime(2026, 1, 31, 12, 0, 0, 250_000, UTC)
    return seal(EXAMPLE_RECORD | {"details": details}, Operation.CREATE, Attribution("u-17"), changed_at, None)


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


@pytest.mark.parametrize("name", sorted(path.name for path in (FOLDER / "explorer").glob("*.test.js")))
async def test_the_browser_computes_what_the_service_does(node: str, vectors: Path, name: str) -> None:
    await run(node, "--test", FOLDER / "explorer" / name, cwd=FOLDER, VECTORS=str(vectors))
