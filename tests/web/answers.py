"""Endpoints that answer in every way there is, and paths of every kind: the other half of `features.py`."""

import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response, WebSocket, params
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.staticfiles import StaticFiles

from src.web.routes import StrictJSONRoute
from tests.web.features import EVENTS, Aliased, Echo, Item, Refused, Strict, dependency, endpoint

router = APIRouter(prefix="/answers")
OfRequest = Annotated[Any, Depends(dependency("of-request", yields=True))]
OfFunction = Annotated[Any, Depends(dependency("of-function", yields=True), scope="function")]
Swallowing = Annotated[Any, Depends(dependency("swallowing", yields=True, fails="swallow"))]
LateOfFunction = Annotated[Any, Depends(dependency("late-function", yields=True, fails="end"), scope="function")]
LateOfRequest = Annotated[Any, Depends(dependency("late-request", yields=True, fails="end"))]


class Larger(Item):
    secret: str = "not in the answer"


class Moment(BaseModel):
    at: datetime
    ratio: float
    note: str


async def add(response: Response) -> None:
    response.headers["X-Dependency"] = "a"
    response.set_cookie("c", "1")
    response.status_code = 207


Added = Annotated[None, Depends(add)]


def note(text: str) -> None:
    EVENTS.append(text)


def fail() -> None:
    raise Refused("in the background")


@router.get("/filtered", response_model=Item)
async def filtered(_one: OfRequest, _two: OfFunction) -> Any:
    return Larger(name="a", price="1.50")


@router.get("/dict", response_model=Item)
async def of_dict() -> Any:
    return {"name": "a", "size": "2", "secret": "b"}


@router.get("/invalid", response_model=Item)
async def invalid(_one: OfRequest, _two: OfFunction) -> Any:
    return {"size": "many"}


@router.get("/union")
async def union(q: int = 0) -> Item | Echo | None:
    return [Item(name="a"), Echo(received={}), None][q % 3]


@router.get("/list")
async def many(q: int = 2) -> list[Moment]:
    return [Moment(at=datetime(2026, 1, 31, 12, tzinfo=UTC), ratio=math.inf, note="ü\u2028")] * (q % 5)


@router.get("/aliased")
async def aliased() -> Aliased:
    return Aliased(a=3, b=["x"])


@router.get("/nothing")
async def nothing() -> None:
    return None


@router.get("/untyped")
async def untyped(q: str = "a"):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return {"q": q, "at": datetime(2026, 1, 31, 12, tzinfo=UTC), "set": {1}, "item": Item(name=q)}


# Those without a body for numbers that are sent: 1, 7 and 8.
STATUSES = (None, 204, 200, 0, 404, 201, 207, 205, 304)


@router.get("/added", status_code=201)
async def added(_added: Added, response: Response, q: int) -> Item:
    response.headers["X-Endpoint"] = "ü"
    response.headers.append("X-Endpoint", "b")
    response.status_code = STATUSES[q % len(STATUSES)]  # type: ignore[assignment]
    return Item(name="a")


@router.get("/added/ignored")
async def ignored(_added: Added, tasks: BackgroundTasks) -> Response:
    tasks.add_task(note, "of the request")
    return Response("own", 202, {"X-Own": "a"})


@router.get("/own-task")
async def own_task(tasks: BackgroundTasks) -> Response:
    tasks.add_task(note, "of the request")
    return JSONResponse({}, background=BackgroundTask(note, "of the answer"))


@router.post("/tasks")
async def later(tasks: BackgroundTasks, _one: OfRequest, _two: OfFunction, item: Item) -> Item:
    tasks.add_task(note, "first")
    tasks.add_task(note, item.name)
    return item


@router.get("/tasks/fails")
async def fails_later(tasks: BackgroundTasks, _one: OfRequest) -> Item:
    tasks.add_task(fail)
    return Item(name="a")


@router.get("/streamed")
async def streamed(_one: OfRequest, _two: OfFunction, response: Response) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for piece in "abc":
            note(piece)
            yield piece

    response.headers["X-Ignored"] = "a"
    return StreamingResponse(pieces(), media_type="text/plain")


@router.get("/streamed/fails")
async def breaks_off(_one: OfRequest) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        yield "a"
        raise Refused("halfway")

    return StreamingResponse(pieces())


@router.get("/streamed/swallowed")
async def swallowed(_one: Swallowing) -> StreamingResponse:
    return await breaks_off(None)


@router.get("/swallowed")
async def swallowed_at_once(_one: Swallowing) -> Item:
    raise Refused("at once")


@router.get("/late/function")
async def late_function(_one: OfRequest, _two: LateOfFunction) -> Item:
    return Item(name="a")


@router.get("/late/request")
async def late_request(_one: OfRequest, _two: LateOfRequest) -> Item:
    return Item(name="a")


@router.get("/generated")
async def generated(_one: OfRequest) -> AsyncIterator[Item]:
    yield Item(name="a")


@router.get("/events", response_class=EventSourceResponse)
async def events(_one: OfRequest) -> AsyncIterator[Item]:
    yield Item(name="a")


@router.get("/threaded")
def threaded(q: int = 1) -> Item:
    return Item(name=str(q))


@router.get("/defaults")
async def defaults(
    one: Annotated[Any, params.Header(default_factory=list)],
    two: Annotated[str, params.Header()] = [],  # type: ignore[assignment]
    three: Annotated[int, params.Header(validate_default=True)] = "7",  # type: ignore[assignment]
) -> list[Any]:
    """No two requests share a default that can be changed."""
    one.append(1)
    two.append(2)  # type: ignore[attr-defined]
    return [one, two, three]


@router.get("/html", response_class=HTMLResponse)
async def html(q: str = "a") -> str:
    return f"<p>{q}"


@router.get("/elsewhere", response_class=RedirectResponse)
async def elsewhere(q: str = "/") -> str:
    return q


@router.get("/file")
async def missing_file(_one: OfRequest) -> FileResponse:
    return FileResponse("/nowhere/to/be/found")


@router.get("/raises/{kind}")
async def raises(kind: int, _one: OfRequest, _two: OfFunction) -> None:
    kinds = [
        HTTPException(404, {"a": 1}, {"X-A": "b"}),
        HTTPException(409),
        HTTPException(304),
        Refused("a"),
        KeyError("a"),
    ]
    raise kinds[kind % len(kinds)]


@router.post("/request/{p}")
async def of_request(request: Request, p: int, item: Item) -> dict[str, Any]:
    """What can be read of a request by those who take it."""
    scope = request.scope
    request.state.seen = True
    return {
        "body": (await request.body()).decode(),
        "json": await request.json(),
        "pieces": [piece.decode() async for piece in request.stream()],
        "route": scope["route"].path_format,
        "endpoint": scope["endpoint"].__name__,
        "path_params": {name: repr(value) for name, value in scope["path_params"].items()},
        "url": str(request.url_for("of_request", p=p)),
        "state": scope["state"]["seen"],
        "app": request.app is scope["app"],
        "router": type(scope["router"]).__name__,
        "root_path": scope.get("root_path"),
        "item": item,
    }


class Recording(APIRoute):
    """A route that serves in its own way."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def noting(request: Request) -> Response:
            note("in its own way")
            return await handle(request)

        return noting


def add_paths(app: FastAPI) -> None:
    for path in (
        "/paths/me", "/paths/{p}", "/paths/after", "/paths/{p}/b", "/paths/a/{p}", "/paths/x/{p:int}",
        "/paths/x/{p:path}", "/paths/f/{p:float}", "/paths/u/{p:uuid}", "/paths/v-{p}/w", "/paths/w/{p}.{q}",
    ):  # fmt: skip
        for method in ("GET", "PUT"):
            app.add_api_route(path, endpoint(path=Request, p=_last(path)), methods=[method])
    app.add_api_route("/paths/both/me", endpoint(path=Request))
    app.add_api_route("/paths/both/{p}", endpoint(p=str), methods=["GET", "HEAD", "OPTIONS", "DELETE"])
    app.mount("/paths/mounted", StaticFiles(directory=Path(__file__).parent))
    app.add_api_route("/paths/mounted/{p}", endpoint(p=str))
    app.add_route("/raw", _raw)
    app.add_api_websocket_route("/paths/socket", _socket)
    app.add_api_route("/paths/socket", endpoint(q=int))
    inner, outer = (
        APIRouter(prefix="/inner"),
        APIRouter(dependencies=[Depends(dependency("outer", h=Annotated[str, params.Header()]))]),
    )
    inner.add_api_route("/{p}", endpoint(p=int, request=Request), methods=["GET"])
    outer.include_router(inner, prefix="/one")
    outer.include_router(inner, prefix="/two/{t}", dependencies=[Depends(add)])
    app.include_router(outer, prefix="/nested")
    for kind in (Recording, StrictJSONRoute):
        own = APIRouter(prefix=f"/{kind.__name__}", route_class=kind)
        own.add_api_route("/query", endpoint(query=Annotated[Strict, params.Query()]))
        own.add_api_route(
            "/scalars", endpoint(q=int, r=Annotated[list[str], params.Query()], h=Annotated[str, params.Header()])
        )
        own.add_api_route("/body", endpoint(item=Item, request=Request), methods=["POST"])
        app.include_router(own)
    lenient = APIRouter(prefix="/lenient", strict_content_type=False, default_response_class=HTMLResponse)
    lenient.add_api_route("/body", endpoint(item=Item), methods=["POST"])
    lenient.add_api_route("/text", _text, methods=["POST"], response_model=None)
    lenient.add_api_route(
        "/scalars", endpoint(q=int, r=Annotated[list[str], params.Query()], h=Annotated[str, params.Header()])
    )
    app.include_router(lenient)


def _last(path: str) -> Any:
    return int if ":int" in path else str


async def _text(item: Item) -> str:
    return item.name


async def _raw(_request: Request) -> Response:
    return Response("raw")


async def _socket(_socket: WebSocket) -> None:
    pass
