"""Signed notes (https://c2sp.org/signed-note), with keys in the formats of Go's golang.org/x/mod/sumdb/note.

The keys here are those of Ed25519 that sign the text of a note as it is. `src.ledger.cosignatures` has the others.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import ClassVar, Self

from typing_extensions import override

from src.ledger import signature_schemes

ED25519, COSIGNATURE, ML_DSA_44 = 1, 4, 6
"""Types of keys: Ed25519 that signs notes, and those of https://c2sp.org/tlog-cosignature: Ed25519 and ML-DSA-44."""

_NAMES = {ED25519: "Ed25519", COSIGNATURE: "Ed25519", ML_DSA_44: "ML-DSA-44"}
_PUBLIC_BYTES = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
_SEED_BYTES, _ID_BYTES = 32, 4
_SECRET_PREFIX = "PRIVATE+KEY+"
_MAX_NOTE_BYTES, _MAX_SIGNATURES = 1_000_000, 100
# Blanks of Unicode and the plus sign separate a name from what follows it.
_NAME = re.compile(r"[^\s+]+")
_KEY = re.compile(r"([^+]*)\+([0-9a-f]{8})\+(.*)", re.ASCII)
_SIGNATURE_LINE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class InvalidKey(ValueError):
    """The text is no key. The message never shows the text: it can be a secret."""


class InvalidNote(ValueError):
    """The text is no signed note, or a known key has not made the signature that bears its name."""


def decode_base64(text: str) -> bytes:
    """Standard base64 (RFC 4648, 4), of which every value has one form only. Raises `ValueError`."""
    value = b64decode(text, validate=True)
    if b64encode(value).decode() != text:
        raise ValueError("is not the usual base64 of its bytes")
    return value


def _key_id(name: str, public: bytes, kind: int) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:_ID_BYTES]


def check_name(name: str) -> str:
    """The name of a key, which the notes that it signs show. Raises `InvalidKey`."""
    if not _NAME.fullmatch(name) or _CONTROL.search(name):
        raise InvalidKey("must be a name without blanks, control characters and plus signs")
    return name


def _parse_key(text: str, sizes: Mapping[int, int]) -> tuple[str, str, int, bytes]:
    """The name, the key's id, its type and its bytes, of `NAME+ID+BASE64`. `sizes`: the bytes of each type."""
    found = _KEY.fullmatch(text)
    if not found:
        raise InvalidKey("must have the form NAME+ID+KEY of a signed note")
    name, key_id, encoded = found.groups()
    try:
        key = decode_base64(encoded)
    except ValueError:
        raise InvalidKey("must end with base64") from None
    if not key or len(key) != 1 + sizes.get(key[0], -1):
        raise InvalidKey(f"must be a key of {' or '.join(f'{_NAMES[kind]} (type {kind})' for kind in sizes)}")
    return check_name(name), key_id, key[0], key[1:]


@dataclass(frozen=True)
class VerifierKey:
    """A public key and its name. As text: `NAME+ID+BASE64`."""

    name: str
    public: bytes
    kind: int = ED25519
    kinds: ClassVar[tuple[int, ...]] = (ED25519,)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `InvalidKey`."""
        name, key_id, kind, public = _parse_key(text, {kind: _PUBLIC_BYTES[kind] for kind in cls.kinds})
        key = cls(name, public, kind)
        if key.id.hex() != key_id:
            raise InvalidKey("has an id that is not that of its name and key")
        return key

    @property
    def id(self) -> bytes:
        return _key_id(self.name, self.public, self.kind)

    @override
    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Whether it has signed the text of a note."""
        return signature_schemes.is_ed25519_signature(signature, text.encode(), self.public)


@dataclass(frozen=True)
class SignerKey:
    """A private key and its name. As text, which is a secret: `PRIVATE+KEY+NAME+ID+BASE64`."""

    name: str
    seed: bytes = field(repr=False)
    kind: ClassVar[int] = ED25519

    @classmethod
    def generate(cls, name: str) -> Self:
        return cls(check_name(name), token_bytes(_SEED_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `InvalidKey`."""
        if not text.startswith(_SECRET_PREFIX):
            raise InvalidKey(f"must begin with {_SECRET_PREFIX}")
        name, key_id, _, seed = _parse_key(text.removeprefix(_SECRET_PREFIX), {cls.kind: _SEED_BYTES})
        key = cls(name, seed)
        if key.verifier.id.hex() != key_id:
            raise InvalidKey("has an id that is not that of its name and key")
        return key

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, signature_schemes.ed25519_key(self.seed).public_key().public_bytes_raw())

    @property
    def secret(self) -> str:
        key = b64encode(bytes([self.kind]) + self.seed).decode()
        return f"{_SECRET_PREFIX}{self.name}+{self.verifier.id.hex()}+{key}"

    def sign(self, text: str) -> str:
        """The signature line of a note with this text."""
        signature = b64encode(self.verifier.id + self.signature_of(text)).decode()
        return f"\u2014 {self.name} {signature}\n"

    def signature_of(self, text: str) -> bytes:
        """What follows the key's id in the signature line."""
        return signature_schemes.ed25519_key(self.seed).sign(text.encode())


def sign_note(text: str, keys: Iterable[SignerKey]) -> str:
    """The note: `text`, which ends with a line break, a blank line, and one line for each signature."""
    return f"{text}\n{''.join(key.sign(text) for key in keys)}"


def sign_too(note: str, keys: Iterable[SignerKey]) -> str:
    """The lines with which those of the keys sign the note that have not signed it yet."""
    text, signatures = split_note(note)
    signed = {(name, key_id) for name, key_id, _ in signatures}
    return "".join(key.sign(text) for key in keys if (key.name, key.verifier.id) not in signed)


def open_note(note: str, keys: Iterable[VerifierKey]) -> str:
    """The text of a note that at least one of the keys has signed. Signatures of other keys are passed over.

    Raises `InvalidNote`, also if the signature of one of the keys is wrong.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    verified = False
    for name, key_id, signature in signatures:
        if key := known.get((name, key_id)):
            if not key.has_signed(text, signature):
                raise InvalidNote(f"the signature of {name} is not valid")
            verified = True
    if not verified:
        raise InvalidNote("none of the known keys has signed it")
    return text


def split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The text of a note, and of each of its signatures the name, the key's id and the signature itself.

    Raises `InvalidNote`.
    """
    if len(note.encode()) > _MAX_NOTE_BYTES or _CONTROL.search(note):
        raise InvalidNote("is too long for a note, or holds control characters")
    text, blank_line, lines = note.rpartition("\n\n")
    if not blank_line or not text or not lines.endswith("\n"):
        raise InvalidNote("must be a text, a blank line and lines of signatures")
    found = [_SIGNATURE_LINE.fullmatch(line) for line in lines.removesuffix("\n").split("\n")]
    if len(found) > _MAX_SIGNATURES:
        raise InvalidNote(f"has more than {_MAX_SIGNATURES} signatures")
    return f"{text}\n", [_parse_signature(line) for line in found]


def _parse_signature(line: re.Match[str] | None) -> tuple[str, bytes, bytes]:
    if not line:
        raise InvalidNote("has a malformed line of signatures")
    try:
        signature = decode_base64(line[2])
    except ValueError:
        raise InvalidNote("has a signature that is no base64") from None
    return line[1], signature[:_ID_BYTES], signature[_ID_BYTES:]
