"""Every feature of FastAPI's routes answers the same, compiled or not: status, headers, body, and what happens when."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import cycle
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, params
from fastapi.routing import APIRoute
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src import json_parser
from src.web import compiled
from tests.web import answers, features
from tests.web.both_ways import (
    BODIES,
    Application,
    Asked,
    Choices,
    Pair,
    Sent,
    Way,
    assert_same,
    choices,
    request,
    sent_to,
)


def _applications() -> Iterator[FastAPI]:
    yield from map(features.application, features.routers())
    yield _answers()


def _answers() -> FastAPI:
    app = features.application(answers.router)
    answers.add_paths(app)
    return app


def _pair(compiling: FastAPI, usual: FastAPI) -> Pair:
    compiled.install(compiling)
    return Application(compiling), Application(usual)


@cache
def answers_pair() -> Pair:
    return _pair(_answers(), _answers())


EACH = 4
NUMBERS = st.integers(0, 100)
SEVERAL = st.lists(NUMBERS, min_size=8, max_size=8)
CHOICES = st.builds(Choices, SEVERAL, SEVERAL, NUMBERS, NUMBERS, st.integers(0, 30))


def _requests(sent: Sent, number: int, chosen: Sequence[Choices]) -> Iterator[tuple[Way, Asked]]:
    """Some for each route, of each kind, and more for those of `answers`; `number` is that of the route."""
    each = EACH * 4 if sent.path.startswith("/answers/") else EACH
    for choice, way in zip(range(number * EACH, number * EACH + each), cycle(Way)):
        yield way, request(sent, way, chosen[choice % len(chosen)])


def test_every_feature_of_fastapi_answers_the_same() -> None:
    """And what is valid is served without FastAPI's way to it, where the route is compiled.

    One test, since each process that collects it would make these applications, which takes seconds.
    """
    pairs = [_pair(*each) for each in zip(_applications(), _applications(), strict=True)]
    routes = [sent for pair in pairs for sent in sent_to(pair)]
    assert len(routes) > 600
    chosen = choices(400)
    with asyncio.Runner() as runner:
        for number, sent in enumerate(routes):
            for way, asked in _requests(sent, number, chosen):
                runner.run(_assert_same(sent, way, asked))

        @settings(max_examples=200)
        @given(st.sampled_from(routes), st.sampled_from(Way), CHOICES)
        def ask(sent: Sent, way: Way, choice: Choices) -> None:
            runner.run(_assert_same(sent, way, request(sent, way, choice)))

        ask()


async def _assert_same(sent: Sent, way: Way, asked: Asked) -> None:
    compiling = sent.pair[0]
    left = compiling.left
    answered = await assert_same(sent.pair, asked)
    if way is Way.VALID and answered.status == 200:
        assert (compiling.left > left) == _is_left(sent), asked


def _is_left(sent: Sent) -> bool:
    return any(word in f"{sent.path}/" for word in LEFT)


# Threads, classes, objects and generators as dependencies or endpoints; what Starlette alone serves; a limit of the
# body; places; scopes of security; routes that serve in their own way; and what a path does not name.
LEFT = (
    *("/threaded", "/class/", "/object/", "/generated/", "/events/", "/mounted/", "/raw/", "/max_body_size/", "/few/"),
    *("/bearer/", "/security/", "/scopes/", "/Recording/", "/path/alias/1/", "/path/validation_alias/4/"),
)


async def test_a_mounted_application_answers_the_same() -> None:
    """Its routes see the path without that of the mount, and parameters of both."""
    outer = []
    for inner in answers_pair():
        parent = FastAPI(openapi_url=None)
        parent.mount("/sub/{t}", inner.app)
        outer.append(Application(parent))
    left = answers_pair()[0].left
    for path in ("/sub/1/paths/7", "/sub/1/paths/both/x", "/sub/1/nested/two/3/inner/7", "/sub/1/answers/request/7"):
        for method in ("GET", "POST"):
            headers = [(b"content-type", b"application/json"), (b"h", b"1")]
            answered = await assert_same((outer[0], outer[1]), Asked(method, path, headers=headers, body=BODIES[:1]))
            assert answered.status in (200, 207, 405)
    assert answers_pair()[0].left == left + 4


async def test_dependency_overrides_switch_compiled_routes_off() -> None:
    ours, usual = answers_pair()
    asked = Asked("GET", "/answers/added", b"q=0")

    async def nothing() -> None:
        return None

    left = ours.left
    for application in (ours, usual):
        application.app.dependency_overrides[answers.add] = nothing
    try:
        answered = await assert_same((ours, usual), asked)
    finally:
        for application in (ours, usual):
            application.app.dependency_overrides.clear()
    assert b"x-dependency" not in dict(answered.messages[0]["headers"])
    assert ours.left == left + 1
    assert b"x-dependency" in dict((await assert_same((ours, usual), asked)).messages[0]["headers"])
    assert ours.left == left + 1


async def test_a_body_that_breaks_off_is_refused_the_same() -> None:
    for path in ("/answers/tasks", "/StrictJSONRoute/body"):
        asked = Asked("POST", path, headers=[(b"content-type", b"application/json")], body=[b'{"name":'])
        await assert_same(answers_pair(), asked, breaks_off=True)


@pytest.mark.parametrize("path", ["/StrictJSONRoute/scalars", "/lenient/scalars"])
@pytest.mark.parametrize(
    "query", [b"r=%ff", b"r=\xff", b"r=\xc3\xbc", b"r=%C3%BC", b"r[]=a&r[]=b", b"r=a&q=2", b"r=a;b=c", b"r", b"r=a&x=1"]
)
async def test_every_way_to_write_a_query_is_understood_the_same(path: str, query: bytes) -> None:
    await assert_same(answers_pair(), Asked("GET", path, b"q=1&" + query, [(b"h", b"1")]))


async def test_a_body_that_is_not_valid_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def parse(body: bytes) -> object:
        parsed.append(body)
        return original(body)

    original = json_parser.parse
    monkeypatch.setattr(json_parser, "parse", parse)
    asked = Asked(
        "POST", "/StrictJSONRoute/body", headers=[(b"content-type", b"application/json")], body=[b'{"name":1}']
    )
    assert (await answers_pair()[0].ask(asked)).status == 422
    assert parsed == [b'{"name":1}']


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        *(
            "/paths/me",
            "/paths/me\n",
            "/paths/x\n",
            "/paths/both/me",
            "/paths/both/me\n",
            "/paths/both/x\n",
            "/paths/after",
        ),
        *("/paths/a/b", "/paths/b/b", "/paths/a/c", "/paths/x/7", "/paths/x/seven", "/paths/x/7/8", "/paths/f/1.5"),
        *(
            "/paths/u/01a20327-4455-7040-bbfd-742c4f9b48f3",
            "/paths/v-1/w",
            "/paths/w/a.b",
            "/paths//b",
            "/paths/",
            "//",
        ),
        *("/paths/mounted/features.py", "/raw", "/paths/socket", "/nested/one/inner/7", "/nested/two/t/inner/7"),
        "/paths/x/" + "9" * 5000,
    ],
    ids=lambda path: path[:40],
)
async def test_every_path_finds_the_same_route(method: str, path: str) -> None:
    await assert_same(answers_pair(), Asked(method, path, b"p=1&q=1", [(b"h", b"1")]))


async def test_mutable_defaults_are_not_shared_between_requests() -> None:
    for _ in range(2):
        answered = await assert_same(answers_pair(), Asked("GET", "/answers/defaults"))
        assert answered.messages[1]["body"] == b"[[1],[2],7]"


class Wrapped(APIRoute):
    """A route that serves by something of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.app = marked(self.app)


def marked(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-marked", b"1")]}
            await send(message)

        await app(scope, receive, send_marked)

    return answer


async def beside(b: int = 0) -> int:
    return b


def _odd() -> FastAPI:
    """What FastAPI serves in a way that no plan has."""
    app = FastAPI(openapi_url=None)
    open_or_strict = [Annotated[model, params.Query()] for model in (features.Strict, features.Open)]
    for number, model in enumerate(open_or_strict):
        app.get(f"/{number}/alone")(features.endpoint(m=model))
        app.get(f"/{number}/beside")(features.endpoint(m=model, q=Annotated[int, params.Query()]))
        app.get(f"/{number}/above")(features.endpoint(m=model, q=Annotated[int, Depends(beside)]))
        app.get(f"/{number}/twice")(features.endpoint(m=model, n=open_or_strict[0]))
    app.router.routes.append(Wrapped("/wrapped", beside))
    app.add_api_route("/set", beside)
    app.routes[-1].app = marked(app.routes[-1].app)  # type: ignore[attr-defined]

    async def grow(lists: Annotated[Any, params.Query()] = ([],)) -> Any:
        lists[0].append(1)
        return lists

    async def read(h: Annotated[str, params.Header(alias="ü-ж")] = "none") -> str:
        return h

    app.get("/grow")(grow)
    app.get("/header")(read)
    return app


@cache
def odd_pair() -> Pair:
    return _pair(_odd(), _odd())


@pytest.mark.parametrize("query", [b"", b"q=1", b"a=1&q=1", b"a=1&b=2&q=1", b"a=1&other=2&q=1", b"q=x", b"n=1"])
@pytest.mark.parametrize(
    "path", [f"/{number}/{of}" for number in range(2) for of in ("alone", "beside", "above", "twice")]
)
async def test_a_model_beside_other_parameters_of_the_query_gets_the_same(path: str, query: bytes) -> None:
    await assert_same(odd_pair(), Asked("GET", path, query))


@pytest.mark.parametrize("path", ["/wrapped", "/set"])
async def test_what_wraps_a_route_is_not_left_out(path: str) -> None:
    answered = await assert_same(odd_pair(), Asked("GET", path))
    assert (b"x-marked", b"1") in answered.messages[0]["headers"]


async def test_an_immutable_default_that_holds_a_list_is_not_shared_between_requests() -> None:
    for _ in range(2):
        answered = await assert_same(odd_pair(), Asked("GET", "/grow"))
        assert answered.messages[1]["body"] == b"[[1]]"


async def test_a_header_with_a_name_that_no_client_can_send_answers_the_same() -> None:
    await assert_same(odd_pair(), Asked("GET", "/header"))
