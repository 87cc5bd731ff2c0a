"""The bytes of entries never change, since every root depends on them."""

from hashlib import sha256
from uuid import UUID

import pytest
import rfc8785

from src.audits.constants import Operation
from src.ledger.entries import encode_bundle, encode_entry
from src.ledger.merkle import hash_leaf

AUDIT_ID = UUID("01a2207b-00a7-73dd-b10b-42685959e933")
HASH = sha256(b"a revision").hexdigest()
FIRST = (
    b'{"audit_id":"01a2207b-00a7-73dd-b10b-42685959e933",'
    b'"hash":"5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef","operation":"create","version":1}'
)
LAST = (
    b'{"audit_id":"00000000-0000-0000-0000-000000000000",'
    b'"hash":"0000000000000000000000000000000000000000000000000000000000000000",'
    b'"operation":"delete","version":2147483647}'
)
GOLDEN = [
    (
        (AUDIT_ID, 1, Operation.CREATE, "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"),
        FIRST,
        "1ea968e6c2ec70d21a94a588f6ca4c14e8fc6f6ff839b799c97f0414b224a2fd",
    ),
    (
        (UUID(int=0), 2147483647, Operation.DELETE, "00" * 32),
        LAST,
        "d9d3250e621e50237d163b1a5b031d0bb429e47bfeee74c07efc58177ed305e5",
    ),
]


@pytest.mark.parametrize(("values", "entry", "leaf"), GOLDEN)
def test_an_entry_has_these_bytes(values: tuple[UUID, int, Operation, str], entry: bytes, leaf: str) -> None:
    assert encode_entry(*values) == entry
    assert hash_leaf(entry).hex() == leaf


@pytest.mark.parametrize("operation", Operation)
def test_an_entry_is_canonical_json(operation: Operation) -> None:
    members: dict[str, str | int] = {
        "audit_id": str(AUDIT_ID),
        "hash": HASH,
        "operation": str(operation),
        "version": 12,
    }
    assert encode_entry(AUDIT_ID, 12, operation, HASH) == rfc8785.dumps(members)


def test_a_bundle_says_how_long_each_entry_is() -> None:
    assert encode_bundle([b"a", b"b" * 300]) == b"\0\1a\1\x2c" + b"b" * 300
