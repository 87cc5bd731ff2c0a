"""One request sent to two applications, of which one is compiled; and requests of every kind for all their routes."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from inspect import isclass
from itertools import cycle
from random import Random
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException
from fastapi._compat import ModelField, get_cached_model_fields
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_validation_alias
from fastapi.routing import iter_route_contexts
from pydantic import AliasChoices, BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.config import AppSettings
from src.web import compiled
from tests.web.features import EVENTS

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: bytes = b""
    headers: Headers = field(default_factory=list)
    body: Sequence[bytes] = (b"",)


@dataclass
class Answered:
    messages: list[Message]
    events: list[str]
    error: str

    @property
    def status(self) -> int | None:
        return self.messages[0]["status"] if self.messages else None


# What strict routes ask for.
OWN_STATE = {"app_settings": AppSettings(max_body_bytes=1024)}


class Application:
    """One of the two, and how many requests reached FastAPI."""

    def __init__(self, app: FastAPI, state: Mapping[str, Any] = OWN_STATE) -> None:
        self.app, self.state = app, state
        self.left = 0
        app.middleware_stack = app.build_middleware_stack()
        layer: Any = app.middleware_stack
        while layer and not isinstance(layer, compiled.CompiledRoutesMiddleware):
            layer = getattr(layer, "app", None)
        if isinstance(layer, compiled.CompiledRoutesMiddleware):
            layer.app = self._count(layer.app)

    def _count(self, app: ASGIApp) -> ASGIApp:
        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            self.left += 1
            await app(scope, receive, send)

        return counting

    async def ask(self, asked: Asked, *, breaks_off: bool = False) -> Answered:
        EVENTS.clear()
        messages: list[Message] = []
        error = ""
        received = iter(
            {"type": "http.request", "body": piece, "more_body": breaks_off or number < len(asked.body) - 1}
            for number, piece in enumerate(asked.body)
        )

        async def receive() -> Message:
            return next(received, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            EVENTS.append(message["type"])
            messages.append({**message, "headers": list(message.get("headers", ()))})

        try:
            await self.app({**_scope(asked), "state": dict(self.state)}, receive, send)
        except Exception as raised:
            error = f"{type(raised).__name__}: {_without_place(str(raised))}"
        return Answered(messages, [*EVENTS], error)


Pair = tuple[Application, Application]


def _without_place(text: str) -> str:
    """FastAPI also names the file and line of an endpoint whose answer is not valid; both name its path."""
    lines = [
        line for line in text.splitlines() if not line.lstrip().startswith(("File ", "Endpoint: ", "GET /", "POST /"))
    ]
    return "" if text.startswith("Response not awaited") or "has swallowed" in text else "\n".join(lines)


def _scope(asked: Asked) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": quote(asked.path).encode(),
        "query_string": asked.query,
        "root_path": "",
        "headers": [(b"host", b"testserver"), *asked.headers],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }


async def assert_same(pair: Pair, asked: Asked, **how: Any) -> Answered:
    ours, usual = [await application.ask(asked, **how) for application in pair]
    assert ours.messages == usual.messages, asked
    assert ours.events == usual.events, asked
    assert ours.error == usual.error, asked
    return ours


# What may be valid for something, and what is valid for nothing.
TEXTS = [
    "1",
    "7",
    "x",
    "abc",
    "",
    "-3",
    "1.5",
    "true",
    "8",
    "[1,2]",
    '{"a":1}',
    "ü",
    "01a20327-4455-7040-bbfd-742c4f9b48f3",
    "nan",
]
ITEM = {"name": "a", "size": 2, "price": "1.5"}
VALUES = [
    *(ITEM, {"name": "a"}, {"p": ITEM}, {"item": ITEM}, {"first": ITEM, "second": 2}, {"size": 1}, {"name": 1}),
    *(7, "x", None, [1, 2], ["a"], {"a": 1, "b": [1]}, {}, {"p": 7}, {"a": "x"}, True, 1.5),
]
BODIES = [
    *(json.dumps(value).encode() for value in VALUES),
    b"{",
    b"",
    b"\xff",
    b'{"name": NaN}',
    b'{"name": "' + b"x" * 1100 + b'"}',
]
TYPES = [
    b"application/json",
    b"application/json; charset=utf-8",
    b"Application/Problem+JSON",
    b"text/plain",
    b"application/x",
    b"",
]


@dataclass(frozen=True)
class Name:
    """Under which something is sent, and what of `TEXTS` is valid for it."""

    name: str
    valid: Sequence[str]
    is_required: bool


@dataclass(frozen=True)
class Sent:
    """A route of two applications, and what it takes."""

    pair: Pair
    method: str
    path: str
    names: Mapping[str, Sequence[Name]]
    bodies: Sequence[bytes]


def sent_to(pair: Pair, texts: Sequence[str] = TEXTS, values: Sequence[Any] = VALUES) -> Iterator[Sent]:
    """Each route, and what of `texts` and `values` is valid for it."""
    for context in iter_route_contexts(pair[0].app.routes):
        effective = context._effective_route  # noqa: SLF001 (the one with its prefix)
        dependant = getattr(effective, "dependant", None)
        names = {kind: list({each.name: each for each in _names(dependant, kind, texts)}.values()) for kind in KINDS}
        body = getattr(effective, "body_field", None)
        bodies = [json.dumps(value).encode() for value in values if body and _is_valid(body, value)]
        for method in sorted(context.methods or ("GET",)):
            yield Sent(pair, method, context.path_format or "", names, bodies or BODIES[:1])


KINDS = ("path", "query", "header", "cookie")


def _names(dependant: Dependant | None, kind: str, texts: Sequence[str]) -> Iterator[Name]:
    for parameter in getattr(dependant, f"{kind}_params", ()):
        model = parameter.field_info.annotation
        is_model = isclass(model) and issubclass(model, BaseModel)
        for each in get_cached_model_fields(model) if is_model else [parameter]:
            valid = [text for text in texts if _is_valid(each, text) or _is_valid(each, [text])]
            aliases = each.field_info.validation_alias
            name = aliases.choices[0] if isinstance(aliases, AliasChoices) else get_validation_alias(each)
            yield Name(str(name), valid, each.field_info.is_required())
    for inner in dependant.dependencies if dependant else ():
        yield from _names(inner, kind, texts)


def _is_valid(field: ModelField, value: Any) -> bool:
    try:
        return not field.validate(value)[1]
    except HTTPException:
        return False


class Way(Enum):
    VALID = 0
    ONE_INVALID = 1
    ANYTHING = 2


@dataclass(frozen=True)
class Choices:
    """What makes a request of a route, as numbers."""

    texts: list[int]
    names: list[int]
    body: int
    content_type: int
    oddity: int


def choices(number: int) -> list[Choices]:
    """As many, the same in every run."""
    random = Random(0)

    def several() -> list[int]:
        return [random.randint(0, 100) for _ in range(8)]

    return [
        Choices(several(), several(), random.randint(0, 100), random.randint(0, 100), random.randint(0, 30))
        for _ in range(number)
    ]


def request(sent: Sent, way: Way, choices: Choices) -> Asked:
    """Of the way `ONE_INVALID` one part may not be valid: a kind of parameter, the body or the URL."""
    free = {*KINDS, "body", "url"} if way is Way.ANYTHING else set()
    if way is Way.ONE_INVALID:
        free = {(*KINDS, "body", "url")[choices.oddity % 6]}
    pairs = {kind: _pairs(sent.names[kind], choices, is_free=kind in free) for kind in KINDS}
    path = sent.path
    for name, text in pairs["path"]:
        path = path.replace(f"{{{name}}}", text)
    path = re.sub(r"\{\w+\}", "7", path)
    lines = [(name.replace("_", "-").lower().encode(), text.encode()) for name, text in pairs["header"]]
    if pairs["cookie"]:
        lines.append((b"cookie", "; ".join(f"{name}={text}" for name, text in pairs["cookie"]).encode()))
    query = "&".join(f"{quote(name)}={quote(text)}" for name, text in pairs["query"]).encode()
    bodies, kinds = (BODIES, TYPES) if "body" in free else (sent.bodies, TYPES[:3])
    body, content_type = bodies[choices.body % len(bodies)], kinds[choices.content_type % len(kinds)]
    lines += [(b"content-type", content_type)] if content_type else []
    pieces = [body[:3], b"", body[3:]] if choices.oddity % 3 else [body]
    method = sent.method
    if "url" in free:
        path += {0: "/", 1: "\n", 2: "x"}.get(choices.oddity % 16, "")
        query += {3: b"&%ff=%ff", 4: b"&\xff=\xfc", 5: b"&a[]=1", 6: b"&&a"}.get(choices.oddity % 16, b"")
        method = {7: "PATCH", 8: "OPTIONS"}.get(choices.oddity % 16, method)
    return Asked(method, path, query.removeprefix(b"&"), lines, pieces)


def _pairs(names: Sequence[Name], choices: Choices, *, is_free: bool) -> list[tuple[str, str]]:
    if not is_free:
        sent = zip(names, cycle(choices.texts), cycle(choices.names))
        return [
            (each.name, (each.valid or TEXTS)[text % len(each.valid or TEXTS)])
            for each, text, name in sent
            if each.is_required or name % 2
        ]
    some = [*(each.name for each in names), *(each.name for each in names), "a", "unknown"]
    numbers = zip(choices.names, choices.texts, strict=True)
    return [(some[name % len(some)], TEXTS[text % len(TEXTS)]) for name, text in [*numbers][: len(names) + 1]]
