"""Timestamped signatures of checkpoints (https://c2sp.org/tlog-cosignature): those of witnesses, and the log's own.

How witnesses are asked: https://c2sp.org/tlog-witness.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self
from urllib.parse import urlsplit

from typing_extensions import override

from src import clock
from src.ledger import signature_schemes
from src.ledger.checkpoints import Checkpoint
from src.ledger.notes import (
    COSIGNATURE,
    ED25519,
    ML_DSA_44,
    InvalidKey,
    InvalidNote,
    SignerKey,
    VerifierKey,
    split_note,
)

_TIME_BYTES = 8
_MAX_NAME_BYTES = 255
_SIZE = re.compile(rb"(0|[1-9]\d{0,18})\n?")


@dataclass(frozen=True)
class CosignerKey(VerifierKey):
    """A public key whose signatures bear a time: Ed25519 (type 4) or ML-DSA-44 (type 6)."""

    kinds: ClassVar[tuple[int, ...]] = (COSIGNATURE, ML_DSA_44)

    def __post_init__(self) -> None:
        if len(self.name.encode()) > _MAX_NAME_BYTES:
            raise InvalidKey(f"must have a name of at most {_MAX_NAME_BYTES} bytes")

    @override
    def has_signed(self, text: str, signature: bytes) -> bool:
        """Whether it has signed the text of a checkpoint, at any time."""
        time, signed = int.from_bytes(signature[:_TIME_BYTES]), signature[_TIME_BYTES:]
        if time >= 2**63:
            return False
        if self.kind == COSIGNATURE:
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            return signature_schemes.is_ed25519_signature(signed, message, self.public)
        try:
            message = encode_checkpoint(self.name, time, Checkpoint.parse(text))
        except InvalidNote:
            return False
        return signature_schemes.is_mldsa44_signature(signed, message, self.public)


@dataclass(frozen=True)
class LogKey(CosignerKey):
    """A public key with which a log signs its own checkpoints: Ed25519 (type 1) or ML-DSA-44 (type 6)."""

    kinds: ClassVar[tuple[int, ...]] = (ED25519, ML_DSA_44)

    @override
    def has_signed(self, text: str, signature: bytes) -> bool:
        verify = VerifierKey.has_signed if self.kind == ED25519 else CosignerKey.has_signed
        return verify(self, text, signature)


@dataclass(frozen=True)
class MlDsaSignerKey(SignerKey):
    """A private key of ML-DSA-44 with which the log signs its own checkpoints, as tlog-checkpoint recommends."""

    kind: ClassVar[int] = ML_DSA_44

    @property
    @override
    def verifier(self) -> CosignerKey:
        return CosignerKey(
            self.name, signature_schemes.mldsa44_key(self.seed).public_key().public_bytes_raw(), ML_DSA_44
        )

    @override
    def signature_of(self, text: str) -> bytes:
        """The time, and the signature of a checkpoint. Raises `InvalidNote` for other texts."""
        time = int(clock.now().timestamp())
        message = encode_checkpoint(self.name, time, Checkpoint.parse(text))
        return time.to_bytes(_TIME_BYTES) + signature_schemes.mldsa44_key(self.seed).sign(message)


def encode_checkpoint(cosigner: str, time: int, checkpoint: Checkpoint) -> bytes:
    """What a key of ML-DSA-44 signs of a checkpoint. Raises `InvalidNote` if its origin is too long."""
    return encode_subtree(cosigner, time, checkpoint.origin, 0, checkpoint.size, checkpoint.root)


def encode_subtree(cosigner: str, time: int, origin: str, start: int, end: int, root: bytes) -> bytes:
    """The structure `cosigned_message`; a checkpoint is the subtree that starts at 0.

    Raises `InvalidNote` if a name has more than 255 bytes.
    """
    names = cosigner.encode(), origin.encode()
    if max(map(len, names)) > _MAX_NAME_BYTES:
        raise InvalidNote(f"has a name of more than {_MAX_NAME_BYTES} bytes")
    first, second = (len(name).to_bytes() + name for name in names)
    return b"".join([b"subtree/v1\n\0", first, time.to_bytes(8), second, start.to_bytes(8), end.to_bytes(8), root])


@dataclass(frozen=True)
class Witness:
    """Where a witness takes checkpoints, and its key."""

    url: str
    key: CosignerKey

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
        return cls(url.rstrip("/"), CosignerKey.parse(key.strip()))


def encode_request(old: int, proof: Iterable[bytes], note: str) -> bytes:
    """The body of `add-checkpoint`: the size that the witness knows, a consistency proof from there, the checkpoint."""
    lines = [f"old {old}", *(b64encode(each).decode() for each in proof)]
    return ("\n".join(lines) + f"\n\n{note}").encode()


def parse_size(body: bytes) -> int | None:
    """The size in the answer to a request whose old size the witness does not have."""
    found = _SIZE.fullmatch(body)
    return int(found[1]) if found else None


def find_cosignature(answer: bytes, note: str, key: CosignerKey) -> str:
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
        if (name, key_id) == (key.name, key.id) and key.has_signed(text, signature):
            return line
    raise InvalidNote("has no valid cosignature of the witness's key")
