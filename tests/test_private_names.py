"""The names of libraries that we rely on and that no documentation promises. docs/extending.md says what each is for.

mypy reports most renames by itself: of methods that are marked with `override`, and of names that we read. It does not
see a rename of an attribute that we only assign, or of a key of the ASGI scope.
"""

import inspect
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import alembic.runtime.plugins
import asyncpg
import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from httptools import HttpParserUpgrade, HttpRequestParser
from openai import AsyncOpenAI, _streaming
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.staticfiles import StaticFiles
from uvicorn.config import Config
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState
from uvicorn.supervisors import Multiprocess

OVERRIDDEN: dict[type, str] = {
    HttpToolsProtocol: """
        connection_made data_received on_message_begin on_headers_complete on_body on_message_complete
        _unsupported_upgrade_warning send_400_response on_response_complete pause_writing resume_writing
        timeout_keep_alive_handler _start_asgi_task connection_lost shutdown
    """,
    FlowControl: "resume_reading",
    Config: "configure_logging get_loop_factory",
    CORSMiddleware: "preflight_response",
    StarletteRequest: "body headers json",
    StaticFiles: "__call__ file_response",
    APIRoute: "get_route_handler",
    asyncpg.Connection: "_get_unique_id transaction",
    AsyncOpenAI: "_make_sse_decoder",
    _streaming.SSEDecoder: "decode",
}
OF_PROTOCOL = """
    config app loop connections server_state pipeline transport flow scope headers url parser expect_100_continue cycle
    _unset_keepalive_if_required
"""
OF_CYCLE = """
    scope transport flow default_headers keep_alive disconnected message_event response_started response_complete
    chunked_encoding expected_content_length waiting_for_100_continue on_response
"""


@pytest.mark.parametrize("owner", OVERRIDDEN, ids=lambda owner: owner.__name__)
def test_methods_that_we_override_exist(owner: type) -> None:
    assert missing(owner, OVERRIDDEN[owner]) == []


def missing(owner: Any, names: str) -> list[str]:
    return [name for name in names.split() if not hasattr(owner, name)]


async def application(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError


async def test_uvicorn_keeps_the_state_of_a_connection_under_the_same_names() -> None:
    protocol = HttpToolsProtocol(Config(application, log_config=None, ws="none"), ServerState(), {})
    protocol.on_message_begin()
    assert missing(protocol, OF_PROTOCOL) == []
    arguments: dict[str, Any] = dict.fromkeys(inspect.signature(RequestResponseCycle).parameters)
    assert missing(RequestResponseCycle(**arguments), OF_CYCLE) == []
    assert missing(ServerState(), "default_headers connections tasks") == []
    transport: Any = None
    assert missing(FlowControl(transport), "read_paused pause_reading resume_reading") == []
    assert httptools_impl.STATUS_LINE[404] == b"HTTP/1.1 404 Not Found\r\n"


def test_uvicorn_stops_a_server_and_its_workers_by_the_same_names() -> None:
    config = Config(application, log_config=None)
    assert missing(Server(config), "started handle_exit run") == []
    with kept_signal_handlers():
        assert missing(Multiprocess(config, []), "should_exit processes run") == []


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    """uvicorn's supervisor replaces those of nearly all signals when it is made."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def test_loggers_whose_level_we_set_exist() -> None:
    assert alembic.runtime.plugins.log.name == "alembic.runtime.plugins"
    loggers = [value for value in vars(trace_exporter).values() if isinstance(value, logging.Logger)]
    assert [logger.name.startswith("opentelemetry.exporter.") for logger in loggers] == [True]


def test_the_parser_says_where_a_request_for_another_protocol_ends() -> None:
    class Callbacks:
        pass

    parser, head = HttpRequestParser(Callbacks()), b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    with pytest.raises(HttpParserUpgrade) as raised:
        parser.feed_data(head + b"rest")
    assert raised.value.args[0] == len(head)
    assert (parser.should_upgrade(), parser.get_method(), parser.get_http_version()) == (True, b"GET", "1.1")
    assert missing(parser, "set_dangerous_leniencies") == []


def test_fastapi_describes_the_parameters_of_a_route_under_the_same_names() -> None:
    router = APIRouter()

    @router.get("/things/{thing}")
    async def read(thing: int, limit: int = 20) -> None:
        raise AssertionError(thing, limit)

    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert missing(route, "dependant body_field path_format endpoint") == []
    assert missing(route.dependant, "query_params header_params dependencies call") == []
    assert [(parameter.alias, parameter.field_info.annotation) for parameter in route.dependant.query_params] == [
        ("limit", int)
    ]


def test_fastapi_keeps_its_layers_under_the_same_names() -> None:
    app = FastAPI(middleware=[Middleware(CORSMiddleware)])
    assert missing(app, "user_middleware middleware_stack build_middleware_stack _native_telemetry") == []
    assert app._native_telemetry.enabled() is False  # noqa: SLF001
    outermost: object = app.user_middleware[0].cls
    assert outermost is CORSMiddleware
    layer: Any = app.build_middleware_stack()
    while not isinstance(layer, CORSMiddleware):
        layer = layer.app


async def test_fastapi_keeps_what_a_compiled_route_reads_under_the_same_names() -> None:
    app = FastAPI()
    stacks = []

    async def ends_with_the_request(request: Request) -> AsyncIterator[None]:
        stacks.append(request.scope["fastapi_inner_astack"])
        yield

    @app.get("/", dependencies=[Depends(ends_with_the_request)])
    async def read() -> None:
        pass

    context = next(each for each in iter_route_contexts(app.routes) if isinstance(each.original_route, APIRoute))
    assert missing(context, "original_route dependant param_convertors _effective_route _embed_body_fields") == []
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://testserver") as client:
        assert (await client.get("/")).status_code == 200
    assert list(map(type, stacks)) == [AsyncExitStack]
