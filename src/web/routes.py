"""Strict requests: no unknown query parameters, no repeated headers, and JSON bodies within a limit, parsed strictly.

The route checks all of this. Dependencies could too, but each would add 15 us to every request.
"""

import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Set
from inspect import isclass
from itertools import chain
from typing import Any, get_origin
from urllib.parse import unquote_to_bytes, urlencode

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.datastructures import QueryParams
from typing_extensions import override

from src import json_parser
from src.exceptions import PayloadTooLarge, UnsupportedMediaType, ValidationFailed

# The key of the scope under which a request comes whose body was read and parsed before.
PARSED = "audit-trail.parsed"

# The headers that are lists: only these may come as several lines (RFC 9110, 5.3).
_LISTS = ("If-Match", "If-None-Match")

# Of one JSON object in a body.
_MOST_FIELDS = 1_000


class StrictJSONRoute(APIRoute):
    """A route that refuses query parameters it does not know, and reads and parses its JSON body strictly."""

    limit_setting = "max_body_bytes"

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = dict(_query_parameters(self.dependant))
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
        """The request with its body, read and parsed. Raises what refuses it."""
        body = await _read(request, getattr(request.state.settings.app, self.limit_setting))
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

    Validation makes an error for each unknown field: 100,000 of them blocked the process for a second.
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


async def _read(request: Request, limit: int) -> bytes:
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
    is_json = re.fullmatch(r"application/([^/+\s]+\+)*json", media_type.strip())
    # `charset*` and `charset*0` (RFC 2231) count as charsets too.
    charsets = {value for name, value in map(_parameter, parameters) if name.startswith("charset")}
    codings = request.headers.getlist("content-encoding")
    is_plain = all(coding.lower() == "identity" for coding in codings)
    if not (is_json and charsets <= {"utf-8", "utf8"} and is_plain):
        raise UnsupportedMediaType("Send the body as Content-Type: application/json, in UTF-8, not encoded further.")


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


def _query_parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Yield the name of each query parameter of an operation and its dependencies, and whether it is a list."""
    for parameter in dependant.query_params:
        annotation = parameter.field_info.annotation
        if isclass(annotation) and issubclass(annotation, BaseModel):
            yield from ((field.alias or name, _is_list(field)) for name, field in annotation.model_fields.items())
        else:
            yield parameter.alias, _is_list(parameter.field_info)
    for inner in dependant.dependencies:
        yield from _query_parameters(inner)


def _single_headers(dependant: Dependant) -> Iterator[str]:
    """Yield the headers that an operation and its dependencies take and that are not lists."""
    yield from (parameter.alias for parameter in dependant.header_params if parameter.alias not in _LISTS)
    for inner in dependant.dependencies:
        yield from _single_headers(inner)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list


def _refusal(repeatable: bool | None, count: int) -> tuple[str, str] | None:
    if repeatable is None:
        return "Unknown query parameter", "extra_forbidden"
    if count > 1 and not repeatable:
        return "Given more than once", "repeated"
    return None
