"""Checkpoints (https://c2sp.org/tlog-checkpoint), and proofs as files (https://c2sp.org/tlog-proof)."""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from typing_extensions import override

from src.ledger.merkle import HASH_BYTES
from src.ledger.notes import InvalidNote, decode_base64

_SIZE = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_LINES = 3
_PROOF_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Checkpoint:
    """What a log of this origin says of itself: how many entries it has, and the root of their tree."""

    origin: str
    size: int
    root: bytes

    @override
    def __str__(self) -> str:
        """The text of the note, without signatures."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text of a note; further lines of it are passed over. Raises `InvalidNote`."""
        lines = text.split("\n")
        if len(lines) <= _LINES or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise InvalidNote("must have an origin, a size and a root, each in a line")
        try:
            root = decode_base64(lines[2])
        except ValueError:
            root = b""
        if len(root) != HASH_BYTES:
            raise InvalidNote("has a root that is no hash in base64")
        return cls(lines[0], int(lines[1]), root)


def format_proof(index: int, hashes: Iterable[bytes], note: str, extra: bytes | None) -> str:
    """A `.tlog-proof` file: that entry `index` is in the tree of the signed checkpoint `note`.

    `extra` is what a verifier needs to have the entry; nothing authenticates it but the entry's own hash.
    """
    lines = [_PROOF_HEADER]
    if extra is not None:
        lines.append(f"extra {_base64(extra)}")
    lines += [f"index {index}", *map(_base64, hashes)]
    return "\n".join(lines) + f"\n\n{note}"


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
