"""Check a ledger offline: `python check_ledger.py FILE [FILE] --key VKEY [--checkpoint NOTE] [--since NOTE]`.

This file needs nothing but Python 3.11 and `cryptography`: no database, no network, and nothing else of this project.

FILE is a proof (`.tlog-proof`, or the JSON of `/ledger/proofs/...`), or the NDJSON of `/ledger/changes/export` from the
start. An export needs `--checkpoint`, saved from `/ledger/checkpoint` before the export or while it ran. `--since` is
an older checkpoint, kept elsewhere: an export shows that the ledger has only grown since then; a proof does with the
JSON of `/ledger/consistency` as a second FILE. The verifier key comes from whoever runs the ledger, and by another way
than the files: a file that brings its own key proves nothing.

It prints what was proved and what was not, and exits with status 1 if anything does not hold.

Formats: c2sp.org/tlog-proof, c2sp.org/tlog-checkpoint, c2sp.org/signed-note, RFC 9162, RFC 8785.
"""

import argparse
import json
import math
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 1
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
        raise DoesNotHold("there is base64 that is none") from None
    require(b64encode(value).decode() == text, "there is base64 in an unusual form")
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

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=number, parse_float=number)
    except (ValueError, RecursionError):
        raise DoesNotHold("there is JSON that is none") from None


def decode_hex(text: str) -> bytes:
    """Hexadecimal digits, in small letters."""
    require(re.fullmatch(r"([0-9a-f]{2})*", text) is not None, "there is a hash that is none")
    return bytes.fromhex(text)


# --- Signed notes and checkpoints ---


@dataclass(frozen=True)
class Key:
    name: str
    id: bytes
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "Key":
        found = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text.strip())
        require(found is not None, "--key must be a verifier key, NAME+ID+KEY")
        assert found
        name, raw = found[1], decode(found[3])
        require(len(raw) == 1 + 32 and raw[0] == ED25519, "--key must be an Ed25519 key")
        key_id = sha256(name.encode() + b"\n" + raw).digest()[:4]
        require(key_id.hex() == found[2], "--key has an id that is not its own")
        return cls(name, key_id, raw[1:])


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes


def open_checkpoint(note: str, key: Key) -> Checkpoint:
    text, blank, lines = note.rpartition("\n\n")
    require(bool(blank) and lines.endswith("\n"), "the checkpoint is no signed note")
    require(not re.search(r"[\x00-\x09\x0b-\x1f]", note), "the checkpoint holds control characters")
    text, signed = f"{text}\n", False
    for line in lines.removesuffix("\n").split("\n"):
        found = SIGNATURE_LINE.fullmatch(line)
        require(found is not None, "the checkpoint has a line of signatures that is none")
        assert found
        signature = decode(found[2])
        if (found[1], signature[:4]) == (key.name, key.id):
            try:
                Ed25519PublicKey.from_public_bytes(key.public).verify(signature[4:], text.encode())
            except InvalidSignature:
                raise DoesNotHold("the signature of the checkpoint is wrong") from None
            signed = True
    require(signed, "the checkpoint is not signed with this key")
    origin, size, root, *_ = [*text.split("\n"), "", ""]
    require(origin == key.name, "the checkpoint is one of another ledger")
    require(re.fullmatch(r"0|[1-9][0-9]{0,18}", size) is not None, "the checkpoint has no size")
    require(len(decode(root)) == 32, "the checkpoint has no root")
    return Checkpoint(origin, int(size), decode(root))


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
    """RFC 9162, 2.1.4.2, and that there is nothing to show for the empty ledger and for one and itself."""
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
    require(bool(lines), "the proof has no index")
    index = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines.pop(0))
    require(index is not None, "the proof has no index")
    assert index
    require(extra is not None, "the proof has no document: ask for the JSON of the proof, which has the entry")
    try:
        canonical = decode(extra or "").decode()
    except UnicodeDecodeError:
        raise DoesNotHold("the document is not UTF-8") from None
    document = parse_json(canonical)
    require(isinstance(document, dict) and canonicalize(document) == canonical, "the document is not canonical JSON")
    return Proof(int(index[1]), [decode(line) for line in lines], note, document, None)


def read_json_proof(values: dict[str, Any]) -> Proof:
    try:
        path = [decode_hex(each) for each in values["hashes"]]
        note, document, entry = values["checkpoint"], values["document"], values["entry"]
        proof = Proof(int(values["index"]), path, note, document, entry)
        require(note is not None, "the proof has no checkpoint: nothing in it is signed")
        copies = (values["size"], values["root"], values["audit_id"], values["version"], values["tlog_proof"])
        size, root, audit_id, version, file = copies
    except (KeyError, TypeError, ValueError):
        raise DoesNotHold("the file is no proof") from None
    checkpoint_lines = note.split("\n")
    require([str(int(size)), b64encode(decode_hex(root)).decode()] == checkpoint_lines[1:3], "size or root disagree")
    found = ENTRY_FORM.fullmatch(entry)
    require(
        found is not None and (found["audit_id"], int(found["version"])) == (audit_id, version), "the entry differs"
    )
    if document is not None:
        inner = read_proof(file)
        require((inner.index, inner.path, inner.note) == (proof.index, path, note), "the two forms of the proof differ")
        require(inner.document == document, "the two forms of the document differ")
    return proof


def entry_of(document: dict[str, Any]) -> str:
    """The entry of a revision, whose hash follows from the document."""
    try:
        version = document["version"]
        require(isinstance(version, float) and version.is_integer(), "the document has no version")
        revision_hash = sha256(canonicalize(document).encode("utf-8", "surrogatepass")).hexdigest()
        return ENTRY.format(
            audit_id=document["audit_id"], hash=revision_hash, operation=document["operation"], version=int(version)
        )
    except (KeyError, TypeError):
        raise DoesNotHold("the document is not one of a revision") from None


# --- What is checked ---


def check_proof(proof: Proof, key: Key) -> tuple[Checkpoint, list[str]]:
    checkpoint = open_checkpoint(proof.note, key)
    entry = entry_of(proof.document) if proof.document is not None else proof.entry
    require(proof.entry in (None, entry), "the entry is not the one of the document")
    found = ENTRY_FORM.fullmatch(entry or "")
    require(found is not None, "the entry has not the form of one")
    assert found
    assert entry
    leaf = hash_leaf(entry.encode())
    included = is_included(leaf, proof.index, checkpoint.size, proof.path, checkpoint.root)
    require(included, "the entry is not in the ledger of the checkpoint")
    what = f"version {found['version']} ({found['operation']}) of record {found['audit_id']}"
    proved = [f"{what} is entry {proof.index} of the {checkpoint.size} of {checkpoint.origin}"]
    if proof.document is None:
        return checkpoint, [*proved, f"a revision with the hash {found['hash']} was recorded; its text is not here"]
    return checkpoint, [*proved, "the document is what was recorded, to the last digit"]


def read_export(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            require(line.endswith("\n"), "the export is cut in its last line")
            change = parse_json(line)
            require(isinstance(change, dict), "the export has a line that is no change")
            yield change


def check_export(path: Path, checkpoint: Checkpoint, since: Checkpoint | None) -> list[str]:
    tree, versions = Tree(), dict[str, int]()
    for change in read_export(path):
        if since and tree.size == since.size:
            require(tree.root == since.root, "the ledger is not the one of --since: it was rewritten")
        if tree.size == checkpoint.size:
            break
        try:
            audit_id, version = change["audit_id"], int(change["version"])
            require(change["index"] == tree.size, f"entry {tree.size} is not in the export, which must begin at 0")
            entry = ENTRY.format(**{**change, "version": version})
        except (KeyError, TypeError, ValueError):
            raise DoesNotHold("the export has a line that is no change") from None
        require(ENTRY_FORM.fullmatch(entry) is not None, f"entry {tree.size} has not the form of one")
        require(version == versions.get(audit_id, 0) + 1, f"version {version} of record {audit_id} is out of order")
        versions[audit_id] = version
        tree.add(hash_leaf(entry.encode()))
    require(
        tree.size == checkpoint.size, f"the export ends at {tree.size}, before the {checkpoint.size} of the checkpoint"
    )
    require(tree.root == checkpoint.root, "the export is not the ledger of the checkpoint")
    if since:
        require(since.size < tree.size or since == checkpoint, "--since is newer than the checkpoint")
    return [
        f"the export has all {tree.size} entries of {checkpoint.origin}, in order, and every version of each record",
        "Not proved: that the text of each change is what was recorded. The proof of a revision shows that.",
    ]


def check_consistency(path: Path, old: Checkpoint, new: Checkpoint) -> None:
    values = parse_json(path.read_text("utf-8"))
    try:
        sizes = (int(values["from"]), int(values["to"]))
        roots = (decode_hex(values["from_root"]), decode_hex(values["to_root"]))
        hashes = [decode_hex(each) for each in values["hashes"]]
    except (KeyError, TypeError, ValueError):
        raise DoesNotHold("the second file is no consistency proof") from None
    require(sizes == (old.size, new.size), f"the consistency proof must be from {old.size} to {new.size}")
    require(roots == (old.root, new.root), "the consistency proof has other roots")
    require(is_consistent(old, new, hashes), "the ledger is not the one of --since: it was rewritten")


def check(options: argparse.Namespace) -> list[str]:
    key = Key.parse(options.key)
    since = open_checkpoint(options.since.read_text("utf-8"), key) if options.since else None
    path, *more = options.files
    kept = f"the ledger has only grown since the {since.size} entries of --since" if since else ""
    if options.checkpoint:
        checkpoint = open_checkpoint(options.checkpoint.read_text("utf-8"), key)
        return [*check_export(path, checkpoint, since), *filter(None, [kept])]
    text = path.read_text("utf-8")
    proof = read_json_proof(parse_json(text, canonical_numbers=True)) if text.startswith("{") else read_proof(text)
    checkpoint, proved = check_proof(proof, key)
    if not since:
        return [*proved, "Not proved: that the ledger was not rewritten. An older checkpoint (--since) shows that."]
    require(len(more) == 1, f"--since needs the JSON of /ledger/consistency?from={since.size}&to={checkpoint.size} too")
    check_consistency(more[0], since, checkpoint)
    return [*proved, kept]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="check_ledger.py", description="Check a ledger offline.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--key", required=True, help="the verifier key, which must not come from the files")
    parser.add_argument("--checkpoint", type=Path, help="the checkpoint of an export")
    parser.add_argument("--since", type=Path, help="an older checkpoint, kept elsewhere")
    options = parser.parse_args(arguments)
    try:
        proved = check(options)
    except (DoesNotHold, OSError, UnicodeDecodeError) as error:
        print(f"DOES NOT HOLD: {error}")
        return 1
    for line in [*proved, UNPROVED]:
        print(line if line.startswith("Not proved") else f"Proved: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
