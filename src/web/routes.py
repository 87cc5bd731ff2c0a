"""Strict requests: no unknown query parameters, no repeated headers, and JSON bodies within a limit, parsed strictly.

The route checks all of this, because a dependency takes more time (tests/benchmarks/README.md).
"""

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Set
from inspect import isclass
from itertools import chain
from typing import Any, get_origin
from urllib.parse import unquote_to_bytes, urlencode

from fastapi import Request, Response
from fastapi._compat import ModelField, get_cached_model_fields
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_validation_alias
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.datastructures import QueryParams
from typing_extensions import override

from src import json_parser
from src.config import AppSettings
from src.exceptions import PayloadTooLarge, UnsupportedMediaType, ValidationFailed
from src.web.state import shared

# The key of the scope for a request whose body was read and parsed already.
PARSED = "audit-trail.parsed"

# Headers that are lists. Only these may come as several lines (RFC 9110, 5.3).
_LISTS = ("If-Match", "If-None-Match")

_JSON = re.compile(r"application/([^/+\s]+\+)*json", re.IGNORECASE)

# How many fields one JSON object in a body may have.
_MOST_FIELDS = 1_000


class StrictJSONRoute(APIRoute):
    """A route that refuses query parameters it does not know, and reads and parses its JSON body strictly."""

    limit_setting = "max_body_bytes"

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        named = chain.from_iterable(map(named_parameters, query_fields(self.dependant)))
        known = {get_validation_alias(field): is_list(field) for field in named}
        single = frozenset(_single_headers(self.dependant))
        takes_body = self.body_field is not None

        async def handle_strictly(request: Request) -> Response:
            parsed = request
            if takes_body:
                parsed = request.scope.pop(PARSED, None) or await self.parse(request)
            _refuse_repeated_headers(request, single)
            if request.scope["query_string"]:
                _check_query(request, known)
            return await handle(parsed)

        return handle_strictly

    async def parse(self, request: Request) -> Request:
        """Read the body and parse it. Returns a request that has both.

        Raises `PayloadTooLarge`, `UnsupportedMediaType`, `MalformedJSON`, `ValidationFailed`.
        """
        settings = shared(request, "app_settings", AppSettings)
        body = await _read_body(request, getattr(settings, self.limit_setting))
        if body:
            _require_json(request)
        value = json_parser.parse(body) if body else None
        _refuse_crowded_objects(value)
        return _ParsedRequest(request, body, value)


class BatchJSONRoute(StrictJSONRoute):
    """A strict route with the body limit of a batch."""

    limit_setting = "max_batch_body_bytes"


def _refuse_crowded_objects(body: Any) -> None:
    """Raise `ValidationFailed` if the body, or an item of a list in it, has more fields than any model could have.

    Validation makes an error for each unknown field, and a body full of them would block the process
    (tests/benchmarks/README.md).
    """
    lists = [value for value in body.values() if isinstance(value, list)] if isinstance(body, dict) else []
    for candidate in chain([body], *lists):
        if isinstance(candidate, dict) and len(candidate) > _MOST_FIELDS:
            raise ValidationFailed(
                [{"loc": ["body"], "msg": f"Has an object of more than {_MOST_FIELDS} fields", "type": "too_many"}]
            )


class _ParsedRequest(Request):
    def __init__(self, request: Request, body: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._bytes, self._value = body, value

    @override
    async def body(self) -> bytes:
        return self._bytes

    @override
    async def json(self) -> Any:
        return self._value


async def _read_body(request: Request, limit: int) -> bytes:
    """Return the body. Count its bytes while they arrive, because `Content-Length` can be absent."""
    if int(request.headers.get("content-length", 0)) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"At most {limit} bytes are accepted.")


def _require_json(request: Request) -> None:
    # Several Content-Type headers, joined, match no media type.
    media_type, *parameters = ", ".join(request.headers.getlist("content-type")).lower().split(";")
    # `charset*` and `charset*0` (RFC 2231) count as charsets too.
    charsets = {value for name, value in map(_parameter, parameters) if name.startswith("charset")}
    codings = request.headers.getlist("content-encoding")
    is_plain = all(coding.lower() == "identity" for coding in codings)
    if not (is_json(media_type) and charsets <= {"utf-8", "utf8"} and is_plain):
        raise UnsupportedMediaType("Send the body as Content-Type: application/json, in UTF-8, not encoded further.")


def is_json(content_type: str) -> bool:
    """Whether the media type is JSON, or ends with its suffix (RFC 6839, 3.1). FastAPI takes all of these as JSON."""
    media_type, _, _ = content_type.partition(";")
    return _JSON.fullmatch(media_type.strip()) is not None


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _check_query(request: Request, known: Mapping[str, bool]) -> None:
    """Refuse a query parameter that the operation does not take, and one that is repeated but is not a list.

    Otherwise a typo in the name of a filter would silently widen a query. The name of a list may have brackets:
    `status[]=failure`.
    """
    text = _decode(request.scope["query_string"])
    if "[]" in text:
        request.scope["query_string"] = _without_brackets(request.scope["query_string"], known)
    given = Counter(name for name, _ in request.query_params.multi_items())
    refused = {name: reason for name, count in given.items() if (reason := _refusal(known.get(name), count))}
    if refused:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": message, "type": kind} for name, (message, kind) in refused.items()]
        )


def _decode(query_string: bytes) -> str:
    try:
        return unquote_to_bytes(query_string).decode()
    except UnicodeDecodeError:
        raise RequestValidationError(
            [{"loc": ("query",), "msg": "Must be UTF-8, percent-encoded", "type": "not_utf8"}]
        ) from None


def _without_brackets(query_string: bytes, known: Mapping[str, bool]) -> bytes:
    """Return the query string without the brackets that some HTTP clients add to the names of lists."""
    lists = {f"{name}[]": name for name, is_list in known.items() if is_list}
    pairs = QueryParams(query_string).multi_items()
    return urlencode([(lists.get(name, name), value) for name, value in pairs]).encode()


def _refuse_repeated_headers(request: Request, single: Set[str]) -> None:
    """Refuse a header that the operation takes once and the client sent twice: nobody could tell which one counts."""
    names = [name for name, _ in request.scope["headers"]]
    if len(set(names)) == len(names):
        return
    repeated = [name for name in sorted(single) if names.count(name.lower().encode()) > 1]
    if repeated:
        raise RequestValidationError(
            [{"loc": ("header", name), "msg": "Given more than once", "type": "repeated"} for name in repeated]
        )


def query_fields(dependant: Dependant) -> Iterator[ModelField]:
    """Yield the query parameters of an operation and its dependencies; one of them can be a model of several."""
    yield from dependant.query_params
    for inner in dependant.dependencies:
        yield from query_fields(inner)


def named_parameters(field: ModelField) -> list[ModelField]:
    """The parameters of which a model consists, or the parameter itself."""
    kind = field.field_info.annotation
    return get_cached_model_fields(kind) if isclass(kind) and issubclass(kind, BaseModel) else [field]


def is_list(field: ModelField) -> bool:
    return get_origin(field.field_info.annotation) is list


def _single_headers(dependant: Dependant) -> Iterator[str]:
    """Yield the headers that an operation and its dependencies take and that are not lists."""
    yield from (parameter.alias for parameter in dependant.header_params if parameter.alias not in _LISTS)
    for inner in dependant.dependencies:
        yield from _single_headers(inner)


def _refusal(repeatable: bool | None, count: int) -> tuple[str, str] | None:
    if repeatable is None:
        return "Unknown query parameter", "extra_forbidden"
    if count > 1 and not repeatable:
        return "Given more than once", "repeated"
    return None
