"""The explorer: the page `/explorer`, on which people read the trail, and its files. It uses the public API alone.

The page names its files under a digest of all of them, so browsers keep them for ever and ask for the page alone. They
are read, joined and compressed once, when somebody asks first: neither the start nor an import waits for it.
"""

import asyncio
import gzip
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from starlette.responses import Response

from src.config import EXPLORER_PATH, AppSettings
from src.etags import content_etag
from src.web import explorer_modules
from src.web.dependencies import conditional, list_header
from src.web.negotiation import accepts_gzip

FOLDER = Path(__file__).parent / "explorer"
_PAGE = "index.html"
_ENTRY, _LATER = "main.js", "later.js"
_STYLES = ("style.css", "record.css")
# In the page, this stands for the folder of the files: a URL relative to that of the page.
_FILES = "{files}"
# The browser asks for the newest records before it has the script. The page of a search needs others.
_FIRST_LIST = re.compile(r' *<link rel="preload" as="fetch"[^>]*>\n')
# What else is in the folder is for those who build the page, and for lawyers.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
_LIBRARIES = "vendor/"
# Lines of comments, and what indents a line: a seventh of the weight.
_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*[\s\S]*?\*/[ \t]*)\n", re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+|^\n", re.MULTILINE)
_VERSION_CHARACTERS = 16
_FOR_EVER, _REVALIDATE = "public, max-age=31536000, immutable", "no-cache"

# Records are text that attackers write: should a script of theirs ever come into the page, it does not run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True)
class _Body:
    content: bytes
    etag: str


@dataclass(frozen=True)
class _Content:
    media_type: str
    plain: _Body
    packed: _Body
    """The same as gzip."""


@dataclass(frozen=True)
class Site:
    version: str
    page: _Content
    page_of_search: _Content
    files: dict[str, _Content]
    """By their paths in the folder, with slashes."""


def install(app: FastAPI, settings: AppSettings) -> None:
    """Add the page and its files, unless `EXPLORER_ENABLED` is off."""
    if not settings.explorer_enabled:
        return

    @app.get(EXPLORER_PATH, include_in_schema=False)
    async def explorer(request: Request) -> Response:
        site = await _site()
        page = site.page_of_search if request.query_params.get("q") else site.page
        return _answer(request, page, _REVALIDATE)

    @app.get(f"{EXPLORER_PATH}/{{version}}/{{path:path}}", include_in_schema=False)
    async def explorer_file(request: Request, version: str, path: str) -> Response:
        site = await _site()
        if path not in site.files:
            raise HTTPException(404)
        # While a new release starts, a page of one release may load files of the other.
        return _answer(request, site.files[path], _FOR_EVER if version == site.version else _REVALIDATE)


async def _site() -> Site:
    return load() if load.cache_info().currsize else await asyncio.to_thread(load)


@lru_cache(maxsize=1)
def load() -> Site:
    """Read the files of the page, join its modules and its styles, and compress them."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.suffix in _MEDIA_TYPES)
    texts = _join({path.relative_to(FOLDER).as_posix(): path.read_text() for path in paths})
    version = sha256("\0".join(f"{name}\0{text}" for name, text in texts.items()).encode()).hexdigest()
    version = version[:_VERSION_CHARACTERS]
    page = texts.pop(_PAGE).replace(_FILES, f"{EXPLORER_PATH[1:]}/{version}")
    pages = (_pack(_PAGE, page.encode()), _pack(_PAGE, _FIRST_LIST.sub("", page).encode()))
    return Site(version, *pages, {name: _pack(name, text.encode()) for name, text in texts.items()})


def _join(texts: dict[str, str]) -> dict[str, str]:
    """What is served: two modules in place of ours, one style, and all else as it is."""
    own = {name: text for name, text in texts.items() if name.endswith(".js") and not name.startswith(_LIBRARIES)}
    others = {name: text for name, text in texts.items() if name not in own and name not in _STYLES}
    scripts = explorer_modules.join({name: _lighten(text) for name, text in own.items()}, _ENTRY, _LATER)
    style = "".join(_lighten(texts[name]) for name in _STYLES)
    return {**others, **scripts, _STYLES[0]: style}


def _lighten(text: str) -> str:
    """The text without comments, indents and empty lines."""
    return _INDENT.sub("", _COMMENT.sub("", text))


def _pack(name: str, text: bytes) -> _Content:
    plain, packed = (_Body(content, content_etag(content)) for content in (text, gzip.compress(text, mtime=0)))
    return _Content(_MEDIA_TYPES[Path(name).suffix], plain, packed)


def _answer(request: Request, content: _Content, cache_control: str) -> Response:
    is_packed = accepts_gzip(list_header(request, "Accept-Encoding"))
    body = content.packed if is_packed else content.plain
    headers = _HEADERS | {"Cache-Control": cache_control, "ETag": body.etag}
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return conditional(request, body.content, content.media_type, headers)
