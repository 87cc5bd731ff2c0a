"""The answer for JSON that is already text."""

from collections.abc import Mapping

from starlette.responses import Response


class ShapedJSON(Response):
    """What PostgreSQL has written (`src/shaped.py`). FastAPI neither validates it again nor writes it anew.

    It does what the constructor of `Response` does, in less time. Names of headers are in small letters.
    """

    def __init__(self, text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code, self.background = status, None
        self.body = text.encode()
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]
