"""Conditional requests (RFC 9110, 13): entity tags are versions. Knows no FastAPI."""

import re
from dataclasses import dataclass
from typing import Self

from src.exceptions import VersionMismatch

# RFC 9110, 8.8.3, as a member of a list, in which empty members are passed over (5.6.1.2).
_MEMBER = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')


def etag(version: int) -> str:
    """Strong: two answers with one version are the same, byte for byte."""
    return f'"{version}"'


@dataclass(frozen=True)
class IfMatch:
    """The versions that a writer is willing to change; None means any that exists."""

    tags: frozenset[str] | None

    @classmethod
    def parse(cls, header: str) -> Self:
        """Raises `ValueError`."""
        if header.strip(" \t") == "*":
            return cls(None)
        return cls(frozenset(_parse_tags(header)))

    def check(self, version: int) -> None:
        """By strong comparison: a weak tag never matches. Raises `VersionMismatch`."""
        if self.tags is not None and etag(version) not in self.tags:
            raise VersionMismatch(f"It is at version {version}; read it again and repeat the change.")


def matches_none(header: str, version: int) -> bool:
    """Whether `If-None-Match` lets the request through, by weak comparison. One that is malformed names no tag."""
    if header.strip(" \t") == "*":
        return False
    try:
        tags = _parse_tags(header)
    except ValueError:
        return True
    return etag(version) not in {tag.removeprefix("W/") for tag in tags}


def _parse_tags(header: str) -> list[str]:
    tags, end = [], 0
    while member := _MEMBER.match(header, end):
        tags.append(member[1])
        end = member.end()
    if not tags or header[end:].strip(" \t,"):
        raise ValueError('must be * or entity tags such as "3", separated by commas')
    return tags
