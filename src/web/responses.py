"""The answer whose JSON is written already."""

from collections.abc import Mapping

from starlette.background import BackgroundTask
from starlette.responses import Response

from src.json_numbers import with_exponents


class ShapedJSON(Response):
    """JSON that is written already. FastAPI sends a `Response` as it is.

    Text is what PostgreSQL has written (`src/shaped.py`): its numbers are written anew (`src/json_numbers.py`). Bytes
    are what a compiled route has written.

    The constructor of `Response` would do the same, but it takes longer (tests/benchmarks/README.md). Names of headers
    must be in lower case.
    """

    body: bytes

    def __init__(
        self,
        content: str | bytes,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        self.status_code, self.background = status_code, background
        self.body = with_exponents(content.encode()) if isinstance(content, str) else content
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), (b"content-type", b"application/json")]
        if headers:
            self.raw_headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
