"""The HTTP client that the SDK uses: it limits the size of what it reads."""

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from typing_extensions import override

from src.ai.constants import MAX_PROVIDER_BODY_BYTES
from src.ai.exceptions import AIInvalidProviderResponse


class BoundedClient(httpx2.AsyncClient):
    """Returns a response of success unread: `src/ai/answer_reader.py` limits its body. Reads all others itself.

    `send` raises `AIInvalidProviderResponse` if a body of success is compressed.
    """

    def __init__(self, timeout: httpx2.Timeout) -> None:
        super().__init__(
            timeout=timeout,
            # Calls are limited by their places.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            # This jar stores no cookie: a stored one would be sent with the calls of all callers.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    @override
    async def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        response = await super().send(request, stream=True, **options)
        if not response.is_success:
            return await _read_error(response)
        if _is_compressed(response):
            await response.aclose()
            raise AIInvalidProviderResponse(
                "The AI provider compresses its answer, though it is asked not to. "
                "The operator has to switch that off, there or in a proxy before it."
            )
        return response


async def _read_error(response: httpx2.Response) -> httpx2.Response:
    """Read the body, if it can be read: the status alone tells most errors apart."""
    content = bytearray()
    try:
        if not _is_compressed(response):
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_PROVIDER_BODY_BYTES:
                    content.clear()
                    break
    except httpx2.RequestError:
        content.clear()
    finally:
        await response.aclose()
    return httpx2.Response(
        response.status_code,
        headers=_without_body_headers(response),
        content=bytes(content),
        request=response.request,
    )


def _is_compressed(response: httpx2.Response) -> bool:
    """Whether the body is compressed, although `Accept-Encoding` asks for none. It is never decompressed.

    A small body that was compressed several times can take hours to decompress, and no other task runs meanwhile.
    """
    return response.headers.get("content-encoding", "").strip().lower() not in ("", "identity")


def _without_body_headers(response: httpx2.Response) -> list[tuple[bytes, bytes]]:
    """The body is read already, and httpx2 raises for some charsets that a `Content-Type` can name."""
    body_headers = (b"content-encoding", b"content-length", b"content-type", b"transfer-encoding")
    return [(name, value) for name, value in response.headers.raw if name.lower() not in body_headers]
