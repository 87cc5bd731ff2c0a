"""Conditional requests (RFC 9110, 13): entity tags are versions. Knows no FastAPI."""

import re
from dataclasses import dataclass
from typing import Self

from src.exceptions import VersionMismatch

# RFC 9110, 8.8.3, as a member of a list, in which empty members are passed over (5.6.1.2).
_MEMBER = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')

# A version, as `etag` writes it or as a proxy that compresses hands it on: nginx, HAProxy and Varnish make it weak,
# Apache and Caddy append the coding to it, Jetty with two hyphens.
_VERSION = re.compile(r'(?:W/)?"([1-9][0-9]*)(?:(?:--?|;)(?:br|deflate|gzip|zstd))?"')


def etag(version: int) -> str:
    """Strong: two answers with one version are the same, byte for byte."""
    return f'"{version}"'


@dataclass(frozen=True)
class IfMatch:
    """The versions that a writer is willing to change; None means any that exists.

    RFC 9110, 13.1.1 has tags compared strongly, so that nobody changes what he has not seen. A tag that a proxy has
    changed while it compressed an answer names a version all the same, and a version is one state of the record in
    every encoding: whoever saw it compressed saw that state. So the versions are compared, and each must be the very
    one. A tag that names no version of this service matches nothing.
    """

    versions: frozenset[str] | None

    @classmethod
    def parse(cls, header: str) -> Self:
        """Raises `ValueError`."""
        return cls(None if header.strip(" \t") == "*" else _parse_versions(header))

    def check(self, version: int) -> None:
        """Raises `VersionMismatch`."""
        if self.versions is None or str(version) in self.versions:
            return
        if not self.versions:
            raise VersionMismatch(
                f'If-Match names no version of this service. The current one is "{version}"; read it again and repeat '
                "the change."
            )
        raise VersionMismatch(f"It is at version {version}; read it again and repeat the change.")


def matches_none(header: str, version: int) -> bool:
    """Whether `If-None-Match` lets the request through. Versions are compared, as for `IfMatch`.

    A header that is malformed names no version.
    """
    if header.strip(" \t") == "*":
        return False
    try:
        return str(version) not in _parse_versions(header)
    except ValueError:
        return True


def _parse_versions(header: str) -> frozenset[str]:
    """Without the tags that name no version. Raises `ValueError` where there is what is no tag."""
    return frozenset(found[1] for tag in _parse_tags(header) if (found := _VERSION.fullmatch(tag)))


def _parse_tags(header: str) -> list[str]:
    tags, end = [], 0
    while member := _MEMBER.match(header, end):
        tags.append(member[1])
        end = member.end()
    if not tags or header[end:].strip(" \t,"):
        raise ValueError('must be * or entity tags such as "3", separated by commas')
    return tags
