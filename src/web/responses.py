"""The answer whose JSON is text already."""

from collections.abc import Mapping

from starlette.responses import Response

from src.json_numbers import with_exponents


class ShapedJSON(Response):
    """JSON of which only the numbers are written anew (`src/json_numbers.py`). FastAPI does not validate it again.

    Most of it is what PostgreSQL has written (`src/shaped.py`).

    The constructor of `Response` would do the same, but it takes longer. Names of headers must be in lower case.
    """

    def __init__(self, text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status_code, self.background = status, None
        self.body = with_exponents(text.encode())
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()),
        ]
