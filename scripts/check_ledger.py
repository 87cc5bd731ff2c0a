"""Check a ledger offline: `check_ledger.py FILE [FILE] --key VKEY [--checkpoint NOTE] [--since NOTE] [--policy FILE]`.

This file needs nothing but Python 3.11 and `cryptography` (48 or newer for keys of ML-DSA-44): no database, no network,
and nothing else of this project.

FILE is a proof (`.tlog-proof`, or the JSON of `/ledger/proofs/...`), or the NDJSON of `/ledger/changes/export` from the
start. An export needs `--checkpoint`, saved from `/ledger/checkpoint` before the export or while it ran. `--since` is
an older checkpoint, kept elsewhere: an export shows that the ledger has only grown since then; a proof does with the
JSON of `/ledger/consistency` as a second FILE. `--policy` names the witnesses that must have cosigned the checkpoint,
and how many of them (c2sp.org/tlog-policy). The verifier key comes from whoever runs the ledger, and by another way
than the files: a file that brings its own key proves nothing. Where `--key` is given twice, such as an Ed25519 key and
an ML-DSA-44 key, both must have signed the checkpoint, and at least one of them that of `--since`.

It prints what was proved and what was not, and exits with status 1 if anything does not hold, or cannot be read.

Formats: c2sp.org/tlog-proof, c2sp.org/tlog-checkpoint, c2sp.org/signed-note, c2sp.org/tlog-policy,
c2sp.org/tlog-cosignature, RFC 9162, RFC 8785.
"""

import argparse
import json
import math
import re
import sqlite3
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

# Types of keys: Ed25519 that signs notes, and Ed25519 and ML-DSA-44 that sign checkpoints with a time.
ED25519, COSIGNATURE, ML_DSA_44 = 1, 4, 6
PUBLIC_BYTES = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
OF_LOGS, OF_WITNESSES = (ED25519, ML_DSA_44), (COSIGNATURE, ML_DSA_44)
MAX_NAME_BYTES = 255
MAX_SAFE_INTEGER = 2**53 - 1
ENTRY = '{{"audit_id":"{audit_id}","hash":"{hash}","operation":"{operation}","version":{version}}}'
ENTRY_FORM = re.compile(
    r'\{"audit_id":"(?P<audit_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","hash":"(?P<hash>[0-9a-f]{64})",'
    r'"operation":"(?P<operation>create|update|delete)","version":(?P<version>[1-9][0-9]{0,9})\}'
)
SIGNATURE_LINE = re.compile(r"\u2014 ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
UNPROVED = "Not proved: that what was recorded is true, and that all of what happened was recorded."


class DoesNotHold(Exception):
    """What was to be proved is not."""


def require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DoesNotHold(otherwise)


def decode(text: str) -> bytes:
    """Base64, in the only form that each value has."""
    try:
        value = b64decode(text, validate=True)
    except ValueError:
        raise DoesNotHold("a value that must be base64 is not") from None
    require(b64encode(value).decode() == text, "a value is not in the usual form of base64")
    return value


def parse_json(text: str, *, canonical_numbers: bool = False) -> Any:
    """Every number is a double. With `canonical_numbers` each must be written as RFC 8785 writes it."""

    def number(digits: str) -> float:
        value = float(digits)
        require(not canonical_numbers or write_number(value) == digits, "there is a number in an unusual form")
        return value

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len({name for name, _ in pairs}) == len(pairs), "a JSON object has a name twice")
        return dict(pairs)

    def constant(word: str) -> None:
        raise DoesNotHold(f"{word} is no number of JSON")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=number, parse_float=number, parse_constant=constant)
    except (ValueError, RecursionError):
        raise DoesNotHold("what must be JSON is not") from None


def take_text(values: Any, name: str) -> str:
    """The text `name` of a JSON object."""
    value = values.get(name) if isinstance(values, dict) else None
    require(isinstance(value, str), f"{name} is missing, or no text")
    return str(value)


def take_integer(values: Any, name: str) -> int:
    """The integer `name` of a JSON object, which is not negative."""
    value = values.get(name) if isinstance(values, dict) else None
    is_integer = isinstance(value, float) and value.is_integer() and 0 <= value <= MAX_SAFE_INTEGER
    require(is_integer, f"{name} is missing, or no integer")
    return int(value or 0)


def take_hashes(values: Any) -> list[bytes]:
    hashes = values.get("hashes") if isinstance(values, dict) else None
    require(isinstance(hashes, list), "hashes are missing, or no list")
    return [decode_hash({"hash": each}, "hash") for each in hashes or []]


def decode_hash(values: Any, name: str) -> bytes:
    """A hash in hexadecimal digits, in small letters."""
    text = take_text(values, name)
    require(re.fullmatch(r"[0-9a-f]{64}", text) is not None, f"{name} is no hash")
    return bytes.fromhex(text)


# --- Signed notes and checkpoints ---


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def read_checkpoint(text: str) -> Checkpoint:
    origin, size, root, *_ = [*text.split("\n"), "", ""]
    require(re.fullmatch(r"0|[1-9][0-9]{0,18}", size) is not None, "the checkpoint has no size")
    require(len(decode(root)) == 32, "the checkpoint has no root")
    return Checkpoint(origin, int(size), decode(root))


def encode_subtree(cosigner: str, time: int, checkpoint: Checkpoint) -> bytes:
    """What a key of ML-DSA-44 signs (c2sp.org/tlog-cosignature): the entries from the first to the size."""
    names = cosigner.encode(), checkpoint.origin.encode()
    require(max(map(len, names)) <= MAX_NAME_BYTES, f"a name has more than {MAX_NAME_BYTES} bytes")
    first, second = (bytes([len(name)]) + name for name in names)
    numbers = [number.to_bytes(8, "big") for number in (time, 0, checkpoint.size)]
    return b"subtree/v1\n\0" + first + numbers[0] + second + numbers[1] + numbers[2] + checkpoint.root


@dataclass(frozen=True)
class Key:
    name: str
    id: bytes
    kind: int
    public: bytes

    @classmethod
    def parse(cls, text: str, kinds: tuple[int, ...] = OF_LOGS) -> "Key":
        found = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text.strip())
        require(found is not None, "a key does not have the form NAME+ID+KEY")
        assert found
        name, raw = found[1], decode(found[3])
        of_kind = raw[:1] in [bytes([kind]) for kind in kinds] and len(raw) == 1 + PUBLIC_BYTES[raw[0]]
        require(of_kind, f"the key of {name} is not an Ed25519 or ML-DSA-44 key for this use")
        key_id = sha256(name.encode() + b"\n" + raw).digest()[:4]
        require(key_id.hex() == found[2], f"the key of {name} has an id that is not its own")
        return cls(name, key_id, raw[0], raw[1:])

    def find(self, signatures: list[tuple[str, bytes]]) -> list[bytes]:
        """The signatures of a note that bear its name and id, without the id."""
        return [raw[4:] for name, raw in signatures if (name, raw[:4]) == (self.name, self.id)]

    def has_signed(self, text: str, signature: bytes) -> bool:
        """Whether it has signed the text of a note; if it signs checkpoints only, of a checkpoint."""
        if self.kind == ED25519:
            return self._verifies(signature, text.encode())
        time, signature = int.from_bytes(signature[:8]), signature[8:]
        if self.kind == COSIGNATURE:
            return self._verifies(signature, f"cosignature/v1\ntime {time}\n{text}".encode())
        return self._verifies(signature, encode_subtree(self.name, time, read_checkpoint(text)))

    def _verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            self._public_key().verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def _public_key(self) -> Any:
        if self.kind != ML_DSA_44:
            return Ed25519PublicKey.from_public_bytes(self.public)
        try:
            from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

            return MLDSA44PublicKey.from_public_bytes(self.public)
        except (ImportError, UnsupportedAlgorithm):
            raise DoesNotHold("keys of ML-DSA-44 need a newer `cryptography`: pip install -U cryptography") from None


def split_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    """The text of a signed note, and the name and the bytes of each signature."""
    text, blank, lines = note.rpartition("\n\n")
    require(bool(blank) and lines.endswith("\n"), "the checkpoint is no signed note")
    require(not re.search(r"[\x00-\x09\x0b-\x1f]", note), "the checkpoint holds control characters")
    found = [SIGNATURE_LINE.fullmatch(line) for line in lines.removesuffix("\n").split("\n")]
    require(all(found), "the checkpoint has a malformed line of signatures")
    return f"{text}\n", [(line[1], decode(line[2])) for line in found if line]


def open_checkpoint(note: str, keys: Sequence[Key], *, all_keys: bool = True) -> Checkpoint:
    """The checkpoint that the keys have signed: each of them, or at least one."""
    text, signatures = split_note(note)
    signed = [key.find(signatures) for key in keys]
    require(any(signed), "the checkpoint is not signed with this key")
    require(all(signed) or not all_keys, "the checkpoint is not signed with each --key")
    for key, found in zip(keys, signed, strict=True):
        require(all(key.has_signed(text, each) for each in found), "the signature of the checkpoint is wrong")
    checkpoint = read_checkpoint(text)
    require(all(key.name == checkpoint.origin for key in keys), "the checkpoint is one of another ledger")
    return checkpoint


# --- Witnesses ---


@dataclass(frozen=True)
class Group:
    """At least `count` of its members must have cosigned."""

    count: int
    members: list[str]


class Policy:
    """Which witnesses must have cosigned a checkpoint (c2sp.org/tlog-policy)."""

    def __init__(self, text: str) -> None:
        self.logs, self.members = list[Key](), dict[str, Key | Group]()
        self.quorum: str | None = None
        self._in_group: set[str] = set()
        require(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text), "the policy holds control characters")
        for line in text.split("\n"):
            words = re.findall(r"[^ \t]+", line)
            if words and not words[0].startswith("#"):
                self._add(line, *words)
        require(self.quorum is not None, "the policy has no quorum")

    def _add(self, line: str, kind: str, *words: str) -> None:
        match kind, words:
            case "log", [key] | [key, _]:
                self.logs.append(self._distinct(Key.parse(key), self.logs))
            case "witness", [name, key] | [name, key, _]:
                witnesses = [each for each in self.members.values() if isinstance(each, Key)]
                self._name(name, self._distinct(Key.parse(key, OF_WITNESSES), witnesses))
            case "group", [name, count, *members] if members:
                self._name(name, Group(self._parse_count(count, len(members)), self._take(members)))
            case "quorum", [name]:
                require(self.quorum is None, "the policy has two quorums")
                require(name == "none" or name in self.members, f"the policy does not know {name}")
                self.quorum = name
            case _:
                raise DoesNotHold(f"the policy has a malformed line: {line.strip()}")

    def _name(self, name: str, member: Key | Group) -> None:
        require(name != "none" and name not in self.members, f"the policy has the name {name} twice")
        self.members[name] = member

    @staticmethod
    def _distinct(key: Key, others: list[Key]) -> Key:
        require(all(key.public != other.public for other in others), f"the policy has the key of {key.name} twice")
        return key

    @staticmethod
    def _parse_count(word: str, members: int) -> int:
        count = {"any": "1", "all": str(members)}.get(word, word)
        require(re.fullmatch(r"[1-9][0-9]{0,3}", count) is not None, "the policy has a group without a number")
        require(int(count) <= members, "the policy has a group that asks for more than its members")
        return int(count)

    def _take(self, members: list[str]) -> list[str]:
        for name in members:
            require(name in self.members, f"the policy does not know {name}")
            require(name not in self._in_group, f"the policy has {name} in two groups")
            self._in_group.add(name)
        return members

    def check(self, note: str, keys: Sequence[Key]) -> list[str]:
        """What the cosignatures of a checkpoint show."""
        require(not self.logs or any(key in self.logs for key in keys), "the policy does not have the log of --key")
        text, signatures = split_note(note)
        cosigned = dict[str, int]()
        for name, witness in self.members.items():
            if isinstance(witness, Key):
                cosigned.update((name, read_cosignature(witness, text, each)) for each in witness.find(signatures))
        require(self._holds(self.quorum or "none", cosigned), f"witnesses are missing: {len(cosigned)} have cosigned")
        if self.quorum == "none":
            return ["Not proved: that others see the same ledger. The policy asks for no witness."]
        return [f"witness {name} saw this ledger{write_time(time)}" for name, time in cosigned.items()]

    def _holds(self, name: str, cosigned: dict[str, int]) -> bool:
        member = self.members.get(name)
        if isinstance(member, Group):
            return sum(self._holds(each, cosigned) for each in member.members) >= member.count
        return name == "none" or name in cosigned


def read_cosignature(witness: Key, text: str, signature: bytes) -> int:
    """When the witness has cosigned (c2sp.org/tlog-cosignature); 0 if it does not say."""
    time = int.from_bytes(signature[:8])
    require(witness.has_signed(text, signature) and time < 2**35, f"the cosignature of {witness.name} is wrong")
    return time


def write_time(time: int) -> str:
    return f" at {datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}" if time else ", and does not say when"


# --- RFC 9162 ---


def hash_leaf(entry: bytes) -> bytes:
    return sha256(b"\0" + entry).digest()


def hash_children(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return False
    here, last, computed = index, size - 1, leaf
    for each in path:
        if last == 0:
            return False
        if here & 1 or here == last:
            computed = hash_children(each, computed)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            computed = hash_children(computed, each)
        here, last = here >> 1, last >> 1
    return last == 0 and computed == root


def is_consistent(old: Checkpoint, new: Checkpoint, path: Sequence[bytes]) -> bool:
    """RFC 9162, 2.1.4.2. For the empty ledger, and for a ledger and itself, the path must be empty."""
    if old.size in (0, new.size):
        return not path and old.root == (new.root if old.size == new.size else sha256().digest())
    nodes = [old.root, *path] if old.size & (old.size - 1) == 0 else [*path]
    here, last = old.size - 1, new.size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old_root = new_root = nodes[0] if nodes and path else b""
    for each in nodes[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            old_root, new_root = hash_children(each, old_root), hash_children(each, new_root)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            new_root = hash_children(new_root, each)
        here, last = here >> 1, last >> 1
    return (old_root, new_root, last) == (old.root, new.root, 0)


class Tree:
    """A tree that grows leaf by leaf, of which only the perfect subtrees at its right are kept."""

    def __init__(self) -> None:
        self.size, self._subtrees = 0, list[bytes]()

    def add(self, leaf: bytes) -> None:
        merged = self.size
        while merged & 1:
            leaf, merged = hash_children(self._subtrees.pop(), leaf), merged >> 1
        self._subtrees.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        if not self._subtrees:
            return sha256().digest()
        *rest, joined = self._subtrees
        for each in reversed(rest):
            joined = hash_children(each, joined)
        return joined


# --- RFC 8785 ---


def canonicalize(value: Any) -> str:
    """Canonical JSON of what `parse_json` returns: every number is a double."""
    match value:
        case dict():
            names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
            return f"{{{','.join(f'{write_text(name)}:{canonicalize(value[name])}' for name in names)}}}"
        case list():
            return f"[{','.join(map(canonicalize, value))}]"
        case str():
            return write_text(value)
        case float():
            return write_number(value)
        case _:
            return json.dumps(value)


def write_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def write_number(number: float) -> str:
    """As ECMAScript writes it: the shortest digits, with an exponent below 1e-6 and from 1e21 on."""
    require(math.isfinite(number), "there is a number that no double holds")
    if number == 0:
        return "0"
    mantissa, _, exponent = f"{number!r}e0".partition("e")
    sign = "-" if number < 0 else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    shift = int(exponent.removesuffix("e0")) + len(whole)
    digits = (whole + fraction).lstrip("0")
    shift -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= shift <= 21:
        return f"{sign}{digits}{'0' * (shift - len(digits))}"
    if 0 < shift <= 21:
        return f"{sign}{digits[:shift]}.{digits[shift:]}"
    if -6 < shift <= 0:
        return f"{sign}0.{'0' * -shift}{digits}"
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{'+' if shift > 0 else '-'}{abs(shift - 1)}"


# --- What files hold ---


@dataclass(frozen=True)
class Proof:
    index: int
    path: list[bytes]
    note: str
    document: dict[str, Any] | None
    entry: str | None


def read_proof(text: str) -> Proof:
    """A `.tlog-proof`: only what is in it in the form that it must have is accepted."""
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    require(bool(blank) and lines.pop(0) == "c2sp.org/tlog-proof@v1", "the file is no proof")
    extra = lines.pop(0).removeprefix("extra ") if lines and lines[0].startswith("extra ") else None
    index = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines.pop(0) if lines else "")
    require(index is not None, "the proof has no index")
    assert index
    path = [decode(line) for line in lines]
    require(all(len(each) == 32 for each in path), "a hash does not have 32 bytes")
    return Proof(int(index[1]), path, note, None if extra is None else read_document(decode(extra)), None)


def read_document(canonical: bytes) -> dict[str, Any]:
    text = canonical.decode()
    document = parse_json(text)
    require(isinstance(document, dict) and canonicalize(document) == text, "the document is not canonical JSON")
    return dict(document)


def read_json_proof(values: Any) -> Proof:
    """The JSON of a proof, whose members must all say the same."""
    note, entry, index = take_text(values, "checkpoint"), take_text(values, "entry"), take_integer(values, "index")
    require("document" in values, "document is missing")
    document = values["document"]
    require(document is None or isinstance(document, dict), "the document is no object")
    root = b64encode(decode_hash(values, "root")).decode()
    require([str(take_integer(values, "size")), root] == note.split("\n")[1:3], "size or root disagree")
    found = ENTRY_FORM.fullmatch(entry)
    of = (take_text(values, "audit_id"), take_integer(values, "version"))
    require(found is not None and (found["audit_id"], int(found["version"])) == of, "the entry differs")
    inner = read_proof(take_text(values, "tlog_proof"))
    proof = Proof(index, take_hashes(values), note, document, None)
    require(inner == proof, "the two forms of the proof differ")
    return Proof(index, proof.path, note, document, entry)


def entry_of(document: dict[str, Any]) -> str:
    """The entry of a revision, whose hash follows from the document."""
    revision_hash = sha256(canonicalize(document).encode("utf-8", "surrogatepass")).hexdigest()
    return ENTRY.format(
        audit_id=take_text(document, "audit_id"),
        hash=revision_hash,
        operation=take_text(document, "operation"),
        version=take_integer(document, "version"),
    )


# --- What is checked ---


def check_proof(proof: Proof, keys: Sequence[Key]) -> tuple[Checkpoint, list[str]]:
    checkpoint = open_checkpoint(proof.note, keys)
    entry = entry_of(proof.document) if proof.document is not None else proof.entry
    require(entry is not None, "the proof has no document: ask for the JSON of the proof, which has the entry")
    require(proof.entry in (None, entry), "the entry is not the one of the document")
    found = ENTRY_FORM.fullmatch(entry or "")
    require(found is not None, "the entry is malformed")
    assert found
    assert entry
    leaf = hash_leaf(entry.encode())
    included = is_included(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
    require(included, "the entry is not in the ledger of the checkpoint")
    what = f"version {found['version']} ({found['operation']}) of record {found['audit_id']}"
    proved = [f"{what} is entry {proof.index} of the {checkpoint.size} of {checkpoint.origin}"]
    if proof.document is None:
        return checkpoint, [*proved, f"a revision with the hash {found['hash']} was recorded; its text is not here"]
    return checkpoint, [*proved, "the document is what was recorded, with numbers as doubles"]


def read_export(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            require(line.endswith("\n"), "the export is cut in its last line")
            yield parse_json(line)


class Versions:
    """The last version of each record, in a temporary file: an export can have any number of records."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE last (record TEXT PRIMARY KEY, version INTEGER) WITHOUT ROWID")

    def add(self, record: str, version: int) -> bool:
        """Whether it is the next version of the record."""
        if version == 1:
            statement = "INSERT OR IGNORE INTO last VALUES (?1, ?2)"
        else:
            statement = "UPDATE last SET version = ?2 WHERE record = ?1 AND version = ?2 - 1"
        return self._database.execute(statement, (record, version)).rowcount == 1


def check_export(path: Path, checkpoint: Checkpoint, since: Checkpoint | None) -> list[str]:
    tree, versions = Tree(), Versions()
    require(since is None or since.size <= checkpoint.size, "--since is newer than the checkpoint")
    changes, more = read_export(path), False
    while True:
        if since and tree.size == since.size:
            require(tree.root == since.root, "the ledger is not the one of --since: it was rewritten")
        change = next(changes, None)
        if tree.size == checkpoint.size or change is None:
            more = change is not None
            break
        tree.add(hash_leaf(read_entry(change, tree.size, versions).encode()))
    size = checkpoint.size
    require(tree.size == size, f"the export ends at {tree.size}, before the {size} of the checkpoint")
    require(tree.root == checkpoint.root, "the export is not the ledger of the checkpoint")
    found = [f"the export has all {size} entries of {checkpoint.origin}, in order, and every version of each record"]
    if more:
        found.append(f"Not proved: what the export has behind entry {size - 1}, where the checkpoint ends.")
    return [
        *found,
        "Not proved: that the text of each change is what was recorded. The proof of a revision shows that.",
    ]


def read_entry(change: Any, index: int, versions: Versions) -> str:
    """The entry of a line of the export: it must be the entry `index`, and the next version of its record."""
    record, version = take_text(change, "audit_id"), take_integer(change, "version")
    require(take_integer(change, "index") == index, f"entry {index} is not in the export, which begins at 0")
    entry = ENTRY.format(
        audit_id=record, hash=take_text(change, "hash"), operation=take_text(change, "operation"), version=version
    )
    require(ENTRY_FORM.fullmatch(entry) is not None, f"entry {index} is malformed")
    require(versions.add(record, version), f"version {version} of record {record} is out of order")
    return entry


def check_consistency(path: Path, old: Checkpoint, new: Checkpoint) -> None:
    values = parse_json(path.read_bytes().decode(), canonical_numbers=True)
    sizes = (take_integer(values, "from"), take_integer(values, "to"))
    roots = (decode_hash(values, "from_root"), decode_hash(values, "to_root"))
    require(sizes == (old.size, new.size), f"the consistency proof must be from {old.size} to {new.size}")
    require(roots == (old.root, new.root), "the consistency proof has other roots")
    require(is_consistent(old, new, take_hashes(values)), "the ledger is not the one of --since: it was rewritten")


def check_one_proof(
    files: list[Path], text: str, keys: Sequence[Key], since: Checkpoint | None
) -> tuple[str, list[str]]:
    """The checkpoint of a proof, and what was proved."""
    require(not text.startswith('{"index":'), "this is an export, which needs --checkpoint")
    proof = read_json_proof(parse_json(text, canonical_numbers=True)) if text.startswith("{") else read_proof(text)
    checkpoint, proved = check_proof(proof, keys)
    if since:
        url = f"/ledger/consistency?from={since.size}&to={checkpoint.size}"
        require(len(files) == 1, f"--since needs the JSON of {url} as a second file")
        check_consistency(files[0], since, checkpoint)
    return proof.note, proved


def check(options: argparse.Namespace) -> list[str]:
    keys = [Key.parse(key) for key in options.key]
    policy = Policy(options.policy.read_bytes().decode("utf-8", "surrogateescape")) if options.policy else None
    since = open_checkpoint(options.since.read_bytes().decode(), keys, all_keys=False) if options.since else None
    path, *more = options.files
    require(not more or (since is not None and not options.checkpoint), "a second file is for a proof with --since")
    if options.checkpoint:
        note = options.checkpoint.read_bytes().decode()
        proved = check_export(path, open_checkpoint(note, keys), since)
    else:
        note, proved = check_one_proof(more, path.read_bytes().decode(), keys, since)
    if since:
        proved.append(f"the ledger has only grown since the {since.size} entries of --since")
    else:
        proved.append("Not proved: that the ledger was not rewritten. An older checkpoint (--since) shows that.")
    if policy:
        return [*proved, *policy.check(note, keys)]
    return [*proved, "Not proved: that others see the same ledger. Witnesses (--policy) show that."]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="check_ledger.py", description="Check a ledger offline.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--key",
        required=True,
        action="append",
        help="the verifier key, which must not come from the files; if given twice, both must have signed",
    )
    parser.add_argument("--checkpoint", type=Path, help="the checkpoint of an export")
    parser.add_argument("--since", type=Path, help="an older checkpoint, kept elsewhere")
    parser.add_argument("--policy", type=Path, help="the witnesses that must have cosigned (c2sp.org/tlog-policy)")
    options = parser.parse_args(arguments)
    try:
        proved = check(options)
    except UnicodeError:
        print("DOES NOT HOLD: a file is not UTF-8")
    except RecursionError:
        print("DOES NOT HOLD: a file is nested too deeply")
    except OSError as error:
        print(f"NOT CHECKED: {error.filename}: {error.strerror}")
    except DoesNotHold as error:
        print(f"DOES NOT HOLD: {error}")
    else:
        report(proved)
        return 0
    return 1


def report(proved: list[str]) -> None:
    for line in [*proved, UNPROVED]:
        print(line if line.startswith("Not proved") else f"Proved: {line}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
