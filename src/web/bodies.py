"""The bytes of a body: read within a limit, unpacked, and of a media type that the route takes."""

import re
import zlib
from collections.abc import Callable
from functools import lru_cache

from fastapi import Request
from starlette.requests import ClientDisconnect

from src.exceptions import MalformedGzip, PayloadTooLarge, UnsupportedContentCoding, UnsupportedMediaType

LINES = "application/x-ndjson"

_JSON = re.compile(r"application/([^/+\s]+\+)*json", re.IGNORECASE)
_AS_JSON = "Send the body as Content-Type: application/json, in UTF-8."
_AS_JSON_OR_LINES = f"Send the body as Content-Type: application/json or {LINES}, in UTF-8."

# RFC 9110, 8.4.1.3: the second is another name of the first.
_GZIP = ("gzip", "x-gzip")
_GZIP_ONLY = 16 + zlib.MAX_WBITS
# Each member of gzip leaves a copy of the bytes behind it: many small ones take long (tests/benchmarks/README.md).
_PIECE_BYTES = 4 * 1024


async def read(request: Request, limit: int) -> bytes:
    """The body, without a content coding. Raises `PayloadTooLarge`, `UnsupportedContentCoding`."""
    chunks: list[bytes] = []
    await _receive(request, limit, chunks.append)
    if chunks and _codings(request):
        raise UnsupportedContentCoding("Send the body without Content-Encoding.", "identity")
    return b"".join(chunks)


async def read_packed(request: Request, limit: int) -> bytes:
    """The body, unpacked if it is gzip. The limit holds for what is sent and for what that unpacks to.

    Raises `PayloadTooLarge`, `UnsupportedContentCoding`, `MalformedGzip`.
    """
    codings = _codings(request)
    if not codings:
        return await read(request, limit)
    if len(codings) > 1 or codings[0] not in _GZIP:
        await _receive(request, limit, lambda _: None)
        raise UnsupportedContentCoding("Send the body as it is, or with Content-Encoding: gzip.", "gzip, identity")
    gunzip = _Gunzip(limit)
    await _receive(request, limit, gunzip.add)
    return gunzip.end()


def is_json(content_type: str) -> bool:
    """Whether the media type is JSON, or ends with its suffix (RFC 6839, 3.1). FastAPI takes all of these as JSON."""
    media_type, _, _ = content_type.partition(";")
    return _JSON.fullmatch(media_type.strip()) is not None


def require_json(request: Request) -> None:
    """Raises `UnsupportedMediaType`."""
    if not is_json(_media_type(request)):
        raise UnsupportedMediaType(_AS_JSON)


def require_json_or_lines(request: Request) -> bool:
    """Whether the body is NDJSON. Raises `UnsupportedMediaType`."""
    media_type = _media_type(request)
    if media_type != LINES and not is_json(media_type):
        raise UnsupportedMediaType(_AS_JSON_OR_LINES)
    return media_type == LINES


def _codings(request: Request) -> list[str]:
    """The content codings in the order in which they were applied, without those that change nothing."""
    sent = _field(request, b"content-encoding").lower().split(",")
    return [coding.strip() for coding in sent if coding.strip() not in ("", "identity")]


def _media_type(request: Request) -> str:
    # Several Content-Type headers, joined, match no media type.
    return _media_type_of(_field(request, b"content-type"))


@lru_cache(maxsize=32)
def _media_type_of(content_type: str) -> str:
    """The media type of a text in UTF-8; nothing that is a media type, if it is in another character set."""
    media_type, *parameters = content_type.lower().split(";")
    # `charset*` and `charset*0` (RFC 2231) count as charsets too.
    charsets = {value for name, value in map(_parameter, parameters) if name.startswith("charset")}
    return media_type.strip() if charsets <= {"utf-8", "utf8"} else ""


def _field(request: Request, name: bytes) -> str:
    """The lines of a header as one (RFC 9110, 5.2). `Request.headers` would make an object for it."""
    return ", ".join([value.decode("latin-1") for key, value in request.scope["headers"] if key == name])


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


class _Gunzip:
    """Unpacks gzip (RFC 1952), which may have several members, up to a limit of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._pieces: list[bytes] = []
        self._member = zlib.decompressobj(_GZIP_ONLY)

    def add(self, data: bytes) -> None:
        """Raises `PayloadTooLarge`, `MalformedGzip`."""
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            while piece:
                piece = self._unpack(piece)

    def _unpack(self, packed: bytes) -> bytes:
        """Return what comes after the end of a member."""
        if self._member.eof:
            self._member = zlib.decompressobj(_GZIP_ONLY)
        try:
            # One byte more than there may be is enough to refuse it.
            piece = self._member.decompress(packed, self._limit - self._size + 1)
        except zlib.error as error:
            raise MalformedGzip(f"Not gzip: {error}.") from None
        self._size += len(piece)
        if self._size > self._limit:
            raise PayloadTooLarge(f"At most {self._limit} bytes are accepted, also when they are unpacked.")
        self._pieces.append(piece)
        return self._member.unused_data

    def end(self) -> bytes:
        """All that was unpacked. Raises `MalformedGzip`."""
        if not self._member.eof:
            raise MalformedGzip("The body ends before the gzip in it does.")
        return b"".join(self._pieces)


async def _receive(request: Request, limit: int, take: Callable[[bytes], None]) -> None:
    """Hand over what is sent. The bytes are counted while they arrive, because `Content-Length` can be absent."""
    if int(next((value for name, value in request.scope["headers"] if name == b"content-length"), 0)) > limit:
        raise _too_large(limit)
    size, has_more = 0, True
    while has_more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, has_more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        if chunk:
            take(chunk)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"At most {limit} bytes are accepted.")
