"""The HTTP client that the SDK uses: it limits the size of what it reads."""

import asyncio
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from typing_extensions import override

from src.ai.constants import MAX_PROVIDER_BODY_BYTES, MAX_PROVIDER_STREAM_BYTES
from src.ai.exceptions import AIInvalidProviderResponse

# Bytes. The SDK parses a slice of empty lines, the slowest there is, in some milliseconds.
_SLICE_SIZE = 4_096


class BoundedClient(httpx2.AsyncClient):
    """Reads a body whole, at most `MAX_PROVIDER_BODY_BYTES`; a stream as it comes, at most `MAX_PROVIDER_STREAM_BYTES`.

    Reading raises `AIInvalidProviderResponse` if the body is larger, cut short or compressed.
    """

    def __init__(self, timeout: httpx2.Timeout) -> None:
        super().__init__(
            timeout=timeout,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            # This jar stores no cookie: a stored one would be sent with the calls of all callers.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    @override
    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = await super().send(request, stream=True, **options)
        if stream and response.is_success:
            return await _with_bounded_stream(response)
        try:
            content = await _read_body(response)
        except AIInvalidProviderResponse:
            if response.is_success:
                raise
            # The status alone tells which error it is.
            content = b""
        finally:
            await response.aclose()
        headers = _without_body_headers(response)
        return httpx2.Response(response.status_code, headers=headers, content=content, request=request)


async def _read_body(response: httpx2.Response) -> bytes:
    _refuse_compressed(response)
    return b"".join([chunk async for chunk in _limit_size(response.aiter_bytes(), MAX_PROVIDER_BODY_BYTES)])


def _refuse_compressed(response: httpx2.Response) -> None:
    """Raises `AIInvalidProviderResponse` for a compressed body, although `Accept-Encoding` asks for none.

    A small body that was compressed several times can take hours to decompress, and no other task runs meanwhile.
    """
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AIInvalidProviderResponse("The AI provider compresses its answer.")


async def _with_bounded_stream(response: httpx2.Response) -> httpx2.Response:
    try:
        _refuse_compressed(response)
    except AIInvalidProviderResponse:
        await response.aclose()
        raise
    headers = [*_without_body_headers(response), (b"content-type", b"text/event-stream")]
    return httpx2.Response(
        response.status_code, headers=headers, stream=_BoundedStream(response), request=response.request
    )


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    @override
    def __aiter__(self) -> AsyncIterator[bytes]:
        return _slice(_limit_size(self._response.aiter_bytes(), MAX_PROVIDER_STREAM_BYTES))

    @override
    async def aclose(self) -> None:
        await self._response.aclose()


async def _slice(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the chunks in slices, and let other tasks run after each: the SDK parses a whole chunk without a pause."""
    async for chunk in chunks:
        for start in range(0, len(chunk), _SLICE_SIZE):
            yield chunk[start : start + _SLICE_SIZE]
            await asyncio.sleep(0)


async def _limit_size(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Yield the chunks. Raises `AIInvalidProviderResponse` after `limit` bytes, or if the connection breaks."""
    size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise AIInvalidProviderResponse("The AI provider's answer is too large.")
            yield chunk
    except httpx2.TimeoutException:
        raise
    except httpx2.RequestError:
        raise AIInvalidProviderResponse("The AI provider's answer was cut short.") from None


def _without_body_headers(response: httpx2.Response) -> list[tuple[bytes, bytes]]:
    """The body is decoded already, and httpx2 raises for some charsets that a `Content-Type` can name."""
    body_headers = (b"content-encoding", b"content-length", b"content-type", b"transfer-encoding")
    return [(name, value) for name, value in response.headers.raw if name.lower() not in body_headers]
