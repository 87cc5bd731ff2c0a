"""What the test has saved for verifiers: for each size a checkpoint, proofs of entries, and proofs from older sizes."""

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SavedProof:
    """A `.tlog-proof`, taken apart by hand, and the entry that it proves."""

    index: int
    entry: bytes
    hashes: list[bytes]
    text: str


@dataclass(frozen=True)
class Step:
    """A consistency proof from an older size."""

    old_size: int
    old_root: bytes
    hashes: list[bytes]


@dataclass(frozen=True)
class Saved:
    size: int
    note: str
    proofs: list[SavedProof]
    steps: list[Step]


def read_saved(folder: Path) -> list[Saved]:
    return [_read(path) for path in sorted(folder.iterdir(), key=lambda path: int(path.name))]


def _read(folder: Path) -> Saved:
    consistency = json.loads((folder / "consistency.json").read_text())
    return Saved(
        int(folder.name),
        (folder / "checkpoint").read_text(),
        [_read_proof(path) for path in sorted(folder.glob("*.tlog-proof"))],
        [
            Step(each["from"], bytes.fromhex(each["from_root"]), [*map(bytes.fromhex, each["hashes"])])
            for each in consistency
        ],
    )


def _read_proof(path: Path) -> SavedProof:
    text = path.read_text()
    head = text.partition("\n\n")[0].split("\n")
    (place,) = [number for number, line in enumerate(head) if line.startswith("index ")]
    hashes = [b64decode(line, validate=True) for line in head[place + 1 :]]
    return SavedProof(int(head[place].removeprefix("index ")), path.with_suffix(".entry").read_bytes(), hashes, text)


def must_be_refused(check: Callable[..., Any], *arguments: Any) -> None:
    """What does not hold makes the verifier raise, or return what is false."""
    try:
        accepted = check(*arguments) is not False
    except Exception:
        return
    assert not accepted, f"{check} has accepted what does not hold"
