"""The entries of the ledger: their bytes, which must never change, since every root depends on them.

An entry tells of one revision, and of nothing personal, so that it can outlive what the revision says.
"""

from uuid import UUID


def encode_entry(audit_id: UUID | str, version: int, operation: str, revision_hash: str) -> bytes:
    """The entry as canonical JSON (RFC 8785). None of the values needs an escape.

    `revision_hash` is in small hexadecimal digits.
    """
    return (
        f'{{"audit_id":"{audit_id}","hash":"{revision_hash}","operation":"{operation}","version":{version}}}'.encode()
    )


def encode_bundle(entries: list[bytes]) -> bytes:
    """Entries as https://c2sp.org/tlog-tiles bundles them: each behind its length in two bytes."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)
