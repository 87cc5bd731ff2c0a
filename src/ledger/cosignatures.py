"""What witnesses sign (https://c2sp.org/tlog-cosignature), and how they are asked (https://c2sp.org/tlog-witness)."""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from src.ledger.notes import COSIGNATURE, InvalidNote, VerifierKey, split_note

_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_SIZE = re.compile(rb"(0|[1-9]\d{0,18})\n?")


@dataclass(frozen=True)
class Witness:
    """Where a witness takes checkpoints, and its key."""

    url: str
    key: VerifierKey

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `URL VKEY`. Raises `ValueError`."""
        url, _, key = text.strip().partition(" ")
        parts = urlsplit(url)
        # Reading the port raises where it is none.
        is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if not is_url or parts.query or parts.fragment:
            raise ValueError("must be the URL of a witness, a blank, and its verifier key")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not have a user or a password in the URL of a witness: GET /ledger shows it")
        return cls(url.rstrip("/"), VerifierKey.parse(key.strip(), COSIGNATURE))


def encode_request(old: int, proof: Iterable[bytes], note: str) -> bytes:
    """The body of `add-checkpoint`: the size that the witness knows, a consistency proof from there, the checkpoint."""
    lines = [f"old {old}", *(b64encode(each).decode() for each in proof)]
    return ("\n".join(lines) + f"\n\n{note}").encode()


def parse_size(body: bytes) -> int | None:
    """The size in the answer to a request whose old size the witness does not have."""
    found = _SIZE.fullmatch(body)
    return int(found[1]) if found else None


def find_cosignature(answer: bytes, note: str, key: VerifierKey) -> str:
    """The line with which `key` has signed the checkpoint `note`. Raises `InvalidNote`.

    Lines of other keys are passed over.
    """
    text, _ = split_note(note)
    try:
        lines = answer.decode()
    except UnicodeDecodeError:
        raise InvalidNote("is no text") from None
    _, signatures = split_note(f"{text}\n{lines}")
    for line, (name, key_id, signature) in zip(lines.splitlines(keepends=True), signatures, strict=True):
        if (name, key_id) == (key.name, key.id) and _is_cosigned(text, signature, key):
            return line
    raise InvalidNote("has no valid cosignature of the witness's key")


def _is_cosigned(text: str, signature: bytes, key: VerifierKey) -> bool:
    if len(signature) != _TIME_BYTES + _SIGNATURE_BYTES:
        return False
    time = int.from_bytes(signature[:_TIME_BYTES])
    return time < 2**63 and key.has_signed(f"cosignature/v1\ntime {time}\n{text}", signature[_TIME_BYTES:])
