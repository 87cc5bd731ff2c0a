"""The HTTP client under the SDK: it bounds what it reads, and tells what was cut short from what was not sent."""

import asyncio
from collections.abc import AsyncIterator
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2

from src.ai.constants import MAX_PROVIDER_BODY_BYTES, MAX_PROVIDER_STREAM_BYTES
from src.ai.exceptions import AIInvalidProviderResponse

# Bytes: some milliseconds of work, should they be empty lines.
_SLICE = 4_096


class BoundedClient(httpx2.AsyncClient):
    """Reads each body whole, and at most `MAX_PROVIDER_BODY_BYTES` of it; a stream as it comes, within its own limit.

    Reading raises `AIInvalidProviderResponse` for what is larger, cut short or compressed.
    """

    def __init__(self, timeout: httpx2.Timeout) -> None:
        super().__init__(
            timeout=timeout,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            # None is kept: what one caller's answer sets would go along with everybody's calls, and never end growing.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = await super().send(request, stream=True, **options)
        if stream and response.is_success:
            return await _streamed(response)
        try:
            content = await _read(response)
        except AIInvalidProviderResponse:
            if response.is_success:
                raise
            content = b""  # the status says enough
        finally:
            await response.aclose()
        return httpx2.Response(response.status_code, headers=_plain(response), content=content, request=request)


async def _read(response: httpx2.Response) -> bytes:
    _refuse_compressed(response)
    return b"".join([chunk async for chunk in _bounded(response.aiter_bytes(), MAX_PROVIDER_BODY_BYTES)])


def _refuse_compressed(response: httpx2.Response) -> None:
    """It was asked for as it is. Packed several times, a few kilobytes unpack for hours, and nothing else runs then."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise AIInvalidProviderResponse("The AI provider compresses its answer.")


async def _streamed(response: httpx2.Response) -> httpx2.Response:
    try:
        _refuse_compressed(response)
    except AIInvalidProviderResponse:
        await response.aclose()
        raise
    headers = [*_plain(response), (b"content-type", b"text/event-stream")]
    return httpx2.Response(
        response.status_code, headers=headers, stream=_BoundedStream(response), request=response.request
    )


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _sliced(_bounded(self._response.aiter_bytes(), MAX_PROVIDER_STREAM_BYTES))

    async def aclose(self) -> None:
        await self._response.aclose()


async def _sliced(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """In pieces between which others have their turn: the SDK reads a piece line by line to its end without a pause."""
    async for chunk in chunks:
        for start in range(0, len(chunk), _SLICE):
            yield chunk[start : start + _SLICE]
            await asyncio.sleep(0)


async def _bounded(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
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


def _plain(response: httpx2.Response) -> list[tuple[bytes, bytes]]:
    """The headers without those of the body: it is decoded, and some charsets that it could claim make httpx2 raise."""
    of_body = (b"content-encoding", b"content-length", b"content-type", b"transfer-encoding")
    return [(name, value) for name, value in response.headers.raw if name.lower() not in of_body]
