"""Conditional requests (RFC 9110, 13). An entity tag is the version of a record, or a digest."""

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from src.exceptions import VersionMismatch

# An entity tag (RFC 9110, 8.8.3) in a list, whose empty members are ignored (5.6.1.2).
_MEMBER = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')

# A version as `etag` writes it, or as a proxy changes it when it compresses the answer: nginx, HAProxy and Varnish make
# the tag weak, Apache and Caddy append the coding, Jetty with two hyphens.
_CODING = r"(?:(?:--?|;)(?:br|deflate|gzip|zstd))?"
_VERSION = re.compile(rf'(?:W/)?"([1-9][0-9]*){_CODING}"')
_ANY_TAG = re.compile(rf'(?:W/)?("[^"]*?){_CODING}"')
_DIGEST_BYTES = 16


def etag(version: int) -> str:
    """A strong entity tag: all answers with the same version are the same, byte for byte."""
    return f'"{version}"'


def content_etag(content: bytes) -> str:
    """A strong entity tag of what has no version: a digest of the content."""
    return f'"{urlsafe_b64encode(sha256(content).digest()[:_DIGEST_BYTES]).decode().rstrip("=")}"'


@dataclass(frozen=True)
class IfMatch:
    """The versions that a writer accepts; None accepts any existing record.

    RFC 9110, 13.1.1 demands the strong comparison, so that a client changes only a state that it has seen. A proxy that
    compresses an answer changes the tag, but not the version in it, and a client that saw the compressed answer saw
    that state too. So this compares versions instead of tags. A tag without a version of this service matches nothing.
    """

    versions: frozenset[str] | None

    @classmethod
    def parse(cls, header: str) -> Self:
        """Parse the header's value. Raises `ValueError` if it is no list of entity tags."""
        return cls(None if header.strip(" \t") == "*" else _parse_versions(header))

    def check(self, version: int) -> None:
        """Raises `VersionMismatch` unless the writer accepts this version."""
        if self.versions is None or str(version) in self.versions:
            return
        if not self.versions:
            raise VersionMismatch(
                f'If-Match names no version of this service. The current one is "{version}"; read it again and repeat '
                "the change."
            )
        raise VersionMismatch(f"It is at version {version}; read it again and repeat the change.")


def matches_none(header: str, version: int) -> bool:
    """Whether no tag of `If-None-Match` has this version, so that the record must be sent.

    It compares versions, as `IfMatch` does. A malformed header matches no version.
    """
    if header.strip(" \t") == "*":
        return False
    try:
        return str(version) not in _parse_versions(header)
    except ValueError:
        return True


def matches_no_tag(header: str, tag: str) -> bool:
    """Whether no member of `If-None-Match` is this tag, so that the content must be sent.

    The comparison is the weak one (RFC 9110, 13.1.2). A malformed header matches no tag.
    """
    if header.strip(" \t") == "*":
        return False
    try:
        found = map(_ANY_TAG.fullmatch, _parse_tags(header))
    except ValueError:
        return True
    return tag not in [f'{each[1]}"' for each in found if each]


def _parse_versions(header: str) -> frozenset[str]:
    """The versions in a list of entity tags; other tags are left out. Raises `ValueError` if a member is no tag."""
    return frozenset(found[1] for tag in _parse_tags(header) if (found := _VERSION.fullmatch(tag)))


def _parse_tags(header: str) -> list[str]:
    tags, end = [], 0
    while member := _MEMBER.match(header, end):
        tags.append(member[1])
        end = member.end()
    if not tags or header[end:].strip(" \t,"):
        raise ValueError('must be * or entity tags such as "3", separated by commas')
    return tags
