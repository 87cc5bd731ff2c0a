"""Strict requests: no unknown query parameters, no repeated headers, and JSON bodies within a limit, parsed strictly.

The route checks all of this, because a dependency takes more time (tests/benchmarks/README.md).
"""

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
from starlette.datastructures import Headers, QueryParams
from typing_extensions import override

from src import batches, json_parser
from src.batches import BatchMode
from src.config import AppSettings
from src.web import bodies
from src.web.state import shared

# The key of the scope for a request whose body was read and parsed already.
PARSED = "audit-trail.parsed"

# Headers that are lists. Only these may come as several lines (RFC 9110, 5.3).
_LISTS = ("If-Match", "If-None-Match")


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
        body = await bodies.read(request, self._limit(request))
        if not body:
            return _ParsedRequest(request, body, None)
        bodies.require_json(request)
        value = json_parser.parse(body)
        json_parser.refuse_crowded_objects(value)
        return _ParsedRequest(request, body, value)

    def _limit(self, request: Request) -> int:
        limit: int = getattr(shared(request, "app_settings", AppSettings), self.limit_setting)
        return limit


class BatchJSONRoute(StrictJSONRoute):
    """A strict route for a batch: with a limit of its own, as JSON or NDJSON, also with `Content-Encoding: gzip`.

    The limit holds for the bytes that are sent, and for those that they unpack to.
    """

    limit_setting = "max_batch_body_bytes"

    @override
    async def parse(self, request: Request) -> Request:
        body = await bodies.read_packed(request, self._limit(request))
        if not body:
            return _ParsedRequest(request, body, None)
        is_lines = bodies.require_json_or_lines(request)
        is_partial = request.query_params.get("mode") == BatchMode.PARTIAL
        value = batches.parse(body, is_lines=is_lines, is_partial=is_partial)
        return (_ParsedLines if is_lines else _ParsedRequest)(request, body, value)


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


class _ParsedLines(_ParsedRequest):
    """Looks like a request with JSON: FastAPI asks no other for the value of its body."""

    @property
    @override
    def headers(self) -> Headers:
        fields = [(name, value) for name, value in self.scope["headers"] if name != b"content-type"]
        return Headers(raw=[*fields, (b"content-type", b"application/json")])


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
