"""An application that uses every feature of FastAPI's routes, to be served in two ways that must answer the same."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from enum import StrEnum
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, Security, params
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer, SecurityScopes
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, Json
from starlette.requests import HTTPConnection

EVENTS: list[str] = []
"""What happened while a request was served, in order."""


class Kind(StrEnum):
    SMALL = "1"
    LARGE = "x"


class Item(BaseModel):
    name: str
    size: int = 1
    price: Decimal | None = None
    tags: list[str] = []


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    first: int = Field(1, alias="a", ge=0)
    second: list[str] = Field([], validation_alias="b")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    a: int = 0


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    a: int = 0
    b: list[int] = []
    c: Kind | None = None


class Mixed(BaseModel):
    a: str | list[str] | None = None


class ByName(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    first: int = Field(1, alias="a")


class Echo(BaseModel):
    """What an endpoint was called with."""

    received: dict[str, str]
    left_out: int | None = Field(None, serialization_alias="leftOut")


class Refused(Exception):
    pass


def even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even")
    return value


def exploding(_value: str) -> str:
    raise HTTPException(418, "in a validator")


def endpoint(**annotations: Any) -> Callable[..., Any]:
    """One that takes what is annotated and answers with it."""

    async def echo(**values: Any) -> Any:
        EVENTS.append("endpoint")
        return Echo(received={name: shown(value) for name, value in values.items()})

    return _with_signature(echo, annotations)


def shown(value: Any) -> str:
    """An address in memory is never the same."""
    return repr((value.path_params, value.scope["route"].path) if isinstance(value, HTTPConnection) else value)


def _with_signature(function: Any, annotations: dict[str, Any]) -> Callable[..., Any]:
    given = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=each) for name, each in annotations.items()]
    function.__signature__ = Signature(given, return_annotation=Echo)
    called: Callable[..., Any] = function
    return called


_UNSHOWN = (Request, HTTPConnection, Response, BackgroundTasks)


def _add_tasks(name: str, values: dict[str, Any]) -> None:
    for value in values.values():
        if isinstance(value, BackgroundTasks):
            value.add_task(EVENTS.append, f"{name} in the background")


def dependency(name: str, *, yields: bool = False, fails: str = "", **takes: Any) -> Callable[..., Any]:
    """One that notes when it begins and ends. `fails` before it has begun, at its end, or swallows what it is told."""

    async def depend(**values: Any) -> Any:
        EVENTS.append(f"{name} begins")
        if fails == "begin":
            raise Refused(name)
        await asyncio.sleep(0)
        _add_tasks(name, values)
        return (name, len(EVENTS), *(repr(value) for value in values.values() if not isinstance(value, _UNSHOWN)))

    async def provide(**values: Any) -> AsyncIterator[Any]:
        try:
            yield await depend(**values)
        except Exception as error:
            EVENTS.append(f"{name} sees {type(error).__name__}")
            if fails != "swallow":
                raise
        finally:
            EVENTS.append(f"{name} ends")
        if fails == "end":
            raise Refused(name)

    return _with_signature(provide if yields else depend, takes)


# For each option of a decorator: a value, and what the endpoint takes.
ROUTE_OPTIONS: dict[str, list[Any]] = {
    "response_model": [Echo, None, dict[str, Any], Echo | Item, list[int]],
    "status_code": [200, 201, 202, 204, 205, 304, 418, None],
    "tags": [["a"]],
    "dependencies": [[Depends(dependency("in-decorator"))]],
    "summary": ["a"],
    "description": ["a"],
    "response_description": ["a"],
    "responses": [{404: {"model": Item}}],
    "deprecated": [True],
    "operation_id": ["named"],
    "response_model_include": [{"received"}],
    "response_model_exclude": [{"left_out"}],
    "response_model_by_alias": [False],
    "response_model_exclude_unset": [True],
    "response_model_exclude_defaults": [True],
    "response_model_exclude_none": [True],
    "include_in_schema": [False],
    "response_class": [JSONResponse, HTMLResponse],
    "name": ["named"],
    "callbacks": [[]],
    "openapi_extra": [{"x-a": 1}],
    "generate_unique_id_function": [lambda route: f"unique-{route.path}"],
    "max_body_size": [10, 1000],
    "form_limits": [{"max_fields": 1}],
}
# For each option of a parameter: its type, and a value.
PARAMETER_OPTIONS: dict[str, list[tuple[Any, Any]]] = {
    "default_factory": [(int, lambda: 7)],
    "alias": [(int, "a"), (list[str], "a")],
    "alias_priority": [(int, 1)],
    "validation_alias": [(int, "a"), (str, AliasChoices("a", "b")), (list[str], AliasChoices("a", "b"))],
    "serialization_alias": [(int, "a")],
    "title": [(str, "A")],
    "description": [(str, "A")],
    "gt": [(int, 1)],
    "ge": [(float, 1)],
    "lt": [(int, 7)],
    "le": [(Decimal, 7)],
    "min_length": [(str, 2), (list[str], 2)],
    "max_length": [(str, 2)],
    "pattern": [(str, "^[a-z]+$")],
    "regex": [(str, "^[a-z]+$")],
    "discriminator": [(str, None)],
    "strict": [(int, True)],
    "validate_default": [(int, True)],
    "union_mode": [(int | str, "left_to_right")],
    "fail_fast": [(list[int], True)],
    "multiple_of": [(int, 7)],
    "allow_inf_nan": [(float, False)],
    "max_digits": [(Decimal, 1)],
    "decimal_places": [(Decimal, 1)],
    "examples": [(str, ["a"])],
    "example": [(str, "a")],
    "openapi_examples": [(str, {"a": {"value": "a"}})],
    "deprecated": [(str, True)],
    "include_in_schema": [(str, False)],
    "json_schema_extra": [(str, {"a": 1})],
    "convert_underscores": [(str, False), (Strict, False)],
    "embed": [(Item, True), (int, True)],
    "media_type": [(Item, "application/vnd.api+json")],
    "default": [(int, 7), (int | None, None), (list[str], ["x"]), (str, ...), (bytes, b"x"), (int, "not a number")],
    "annotation": [(str, str)],
}
# Forms and files need python-multipart, which is not installed: a route of them cannot be declared.
PARAMETER_KINDS = (params.Path, params.Query, params.Header, params.Cookie, params.Body)
TYPES: tuple[Any, ...] = (
    *(int, float, bool, str, bytes, UUID, Decimal, Kind, Literal["1", "x"], int | str, int | None, str | list[str]),
    *(list[int], list[str] | None, set[str], tuple[int, int], dict[str, int], Item, Item | None, Aliased, Strict),
    *(ByName, Mixed, Item | Strict, Json[list[int]], Annotated[int, AfterValidator(even)]),
    Annotated[str, AfterValidator(exploding)],
)


def application(*routers: APIRouter) -> FastAPI:
    app = FastAPI(exception_handlers={Refused: _refuse, 409: _refuse}, openapi_url=None)
    for router in routers:
        app.include_router(router)
    return app


def routers() -> Iterator[APIRouter]:
    """Each is an application of its own: FastAPI asks one route after another, which takes its time with hundreds."""
    yield _of_options()
    yield from map(_of_parameters, PARAMETER_KINDS)
    yield _of_dependencies()
    yield _of_nested()


async def _refuse(request: Request, error: Exception) -> Response:
    body = await request.body()
    return JSONResponse({"refused": str(error), "body": body.decode("latin-1")}, 409, {"X-Path": request.url.path})


def _of_options() -> APIRouter:
    router = APIRouter(prefix="/options")
    for option, values in ROUTE_OPTIONS.items():
        for number, value in enumerate(values):
            # Without an annotation of what it returns, since an answer without a body must not have one.
            function: Any = endpoint(q=int, item=Item)
            function.__signature__ = function.__signature__.replace(return_annotation=Signature.empty)
            model = None if option in ("status_code", "response_class") else Echo
            router.post(f"/{option}/{number}", **{"response_model": model, option: value})(function)
    return router


def _of_parameters(kind: Any) -> APIRouter:
    router = APIRouter(prefix=f"/{kind.__name__.lower()}")
    options = [(option, *pair) for option, pairs in PARAMETER_OPTIONS.items() for pair in pairs]
    options += [("default", annotation, ...) for annotation in TYPES]
    for number, (option, annotation, value) in enumerate(options):
        _try_parameter(router, kind, f"{option}/{number}", annotation, {option: value})
    takes = {"first": Annotated[Item, params.Body()], "second": Annotated[int, params.Body()]}
    router.post("/both")(endpoint(**takes))
    router.post("/all/{p}")(
        endpoint(
            p=int,
            q=int,
            r=Annotated[list[str], params.Query()],
            h=Annotated[str, params.Header()],
            c=Annotated[str, params.Cookie()],
            i=Item,
        )
    )
    return router


def _try_parameter(router: APIRouter, kind: Any, path: str, annotation: Any, options: dict[str, Any]) -> None:
    """What a kind does not know, or FastAPI refuses when it is declared, is no feature of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function = endpoint(p=Annotated[annotation, kind(**options)])
            router.post(f"/{path}/{{p}}" if kind is params.Path else f"/{path}")(function)
    except (AssertionError, TypeError, ValueError, RuntimeError):
        return


def _threaded(q: int = 1) -> int:
    EVENTS.append("threaded")
    return q


def _threaded_generator() -> Iterator[int]:
    yield 1
    EVENTS.append("threaded ends")


class _Callable:
    def __init__(self, q: int = 1) -> None:
        self.q = q

    def __repr__(self) -> str:
        return f"_Callable({self.q})"

    async def __call__(self, h: Annotated[str, params.Header()] = "h") -> str:
        return h


async def _scopes(scopes: SecurityScopes) -> list[str]:
    return scopes.scopes


def _each() -> dict[str, Any]:
    return {
        "plain": dependency("plain", q=int),
        "of-request": dependency("of-request", yields=True, q=int),
        "fails": dependency("fails", fails="begin"),
        "fails-late": dependency("fails-late", yields=True, fails="end"),
        "swallows": dependency("swallows", yields=True, fails="swallow"),
        "threaded": _threaded,
        "threaded-generator": _threaded_generator,
        "class": _Callable,
        "object": _Callable(),
        "partial": partial(dependency("partial", q=int)),
        "body": dependency("body", item=Item),
        "bearer": HTTPBearer(auto_error=False),
        "request": dependency("request", request=Request, connection=HTTPConnection, response=Response),
    }


def _of_dependencies() -> APIRouter:
    router = APIRouter(
        prefix="/dependencies", dependencies=[Depends(dependency("router", h=Annotated[str, params.Header()]))]
    )
    for name, call in _each().items():
        for ending, options in DEPENDS_OPTIONS.items():
            takes = {"a": Annotated[Any, Depends(call, **options)], "i": int}
            for suffix, function in {"": endpoint(**takes), "/raises": raising(**takes)}.items():
                router.post(f"/{name}/{ending}{suffix}")(function)
    for name in ("plain", "of-request"):
        call = _each()[name]
        scopes = {scope: Annotated[Any, Depends(call, scope=scope)] for scope in ("function", "request")}
        router.post(f"/{name}/both-scopes")(endpoint(a=scopes["function"], b=scopes["request"], c=scopes["function"]))
        cached, anew = (Annotated[Any, Depends(call, use_cache=cache)] for cache in (True, False))
        router.post(f"/{name}/thrice")(endpoint(a=cached, b=anew, c=cached))
    router.get("/scopes")(endpoint(a=Annotated[Any, Depends(_scopes)]))
    router.get("/security")(endpoint(a=Annotated[Any, Security(_scopes, scopes=["a"])]))
    return router


DEPENDS_OPTIONS: dict[str, dict[str, Any]] = {
    "usual": {},
    "uncached": {"use_cache": False},
    "of-function": {"scope": "function"},
    "of-request": {"scope": "request"},
    "few": {"max_concurrency": 1},
}


def raising(**annotations: Any) -> Callable[..., Any]:
    async def refuse(**values: Any) -> Any:
        raise (Refused if len(EVENTS) % 2 else HTTPException)(409)

    return _with_signature(refuse, annotations)


def _of_nested() -> APIRouter:
    """Each beneath others, twice, of each scope, with and without its cache."""
    router = APIRouter()
    for name, call in _each().items():
        for cache in (True, False):
            inner = Annotated[Any, Depends(call, use_cache=cache)]
            one = dependency("one", yields=True, a=inner, x=Annotated[str, params.Header()])
            two = dependency("two", a=inner, b=Annotated[Any, Depends(one)], tasks=BackgroundTasks)
            three = dependency("three", yields=True, b=Annotated[Any, Depends(two)], c=Annotated[Any, Depends(one)])
            takes = {"a": Annotated[Any, Depends(three)], "b": Annotated[Any, Depends(two)], "c": inner}
            path = f"/nested/{name}/{cache}"
            router.post(path)(endpoint(**takes))
            router.post(f"{path}/raises", dependencies=[Depends(one)])(raising(**takes))
            late = dependency("late", a=Annotated[Any, Depends(one)])
            router.post(f"{path}/function")(endpoint(b=Annotated[Any, Depends(late, scope="function")], c=inner))
    return router
