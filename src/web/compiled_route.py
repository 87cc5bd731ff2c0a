"""One compiled route: how its requests are served.

`src/web/compiled.py` says why there are compiled routes, and how to switch them off.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qsl

from fastapi import BackgroundTasks, FastAPI, Request, Response
from fastapi._compat import ModelField
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.utils import _solve_generator, request_body_to_args, request_params_to_args
from fastapi.exceptions import FastAPIError
from fastapi.routing import RouteContext, serialize_response
from fastapi.utils import is_body_allowed_for_status_code
from starlette.types import Message, Receive, Scope, Send

from src.web.bodies import is_json
from src.web.responses import ShapedJSON
from src.web.route_plans import REQUEST, REQUIRED, RESPONSE, TASKS, Arguments, Parameter, Plan, value_of
from src.web.routes import PARSED, StrictJSONRoute
from src.web.whole_answers import Sender, owner

Headers = list[tuple[bytes, bytes]]


class Unserved(Exception):
    """FastAPI has to serve this request, and gets its body from `receive`."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive


class Failure:
    """An exception of an endpoint, of a dependency or of sending the answer. FastAPI's handlers of exceptions get it.

    Raise it by `raise failure.errors.pop()`: if it stayed here, it would refer to itself through its traceback, and
    only the garbage collector could free it.
    """

    def __init__(self, request: Request, error: Exception, *, has_begun: bool) -> None:
        self.request, self.errors, self.has_begun = request, [error], has_begun


class CompiledRoute:
    """One route, and how its requests are served."""

    def __init__(self, context: RouteContext, application: FastAPI) -> None:
        self._plan = Plan(context, application)
        self._router = application.router
        self._endpoint = context.endpoint
        embeds = context._embed_body_fields  # noqa: SLF001 (nothing else tells)
        # Whether the body has each part as a member, instead of being it.
        self._embeds = embeds or any(getattr(part.field.field_info, "embed", None) for part in self._plan.body)
        self._status = context.status_code
        self._response_class: type[Response] = value_of(context.response_class)
        self._field = context.response_field
        self._is_json = self._field is not None and isinstance(context.response_class, DefaultPlaceholder)
        self._options: dict[str, Any] = {
            "include": context.response_model_include,
            "exclude": context.response_model_exclude,
            "by_alias": context.response_model_by_alias,
            "exclude_unset": context.response_model_exclude_unset,
            "exclude_defaults": context.response_model_exclude_defaults,
            "exclude_none": context.response_model_exclude_none,
        }
        self._serialization = self._options | {
            "field": self._field,
            "dump_json": self._is_json,
            "endpoint_ctx": {"path": f"{', '.join(context.methods or ())} {context.path_format}"},
        }

    async def serve(self, scope: Scope, receive: Receive, send: Send, path_params: dict[str, str]) -> Failure | None:
        """Answer the request. Returns the exception of the endpoint, of a dependency or of sending the answer, if any.

        Raises only `Unserved`, and only before the first dependency is called.
        """
        plan = self._plan
        request = Request(scope, receive, send)
        values: list[Any] = [None] * plan.size
        converted = self._read_parameters(request, path_params, values)
        scope["router"] = scope.get("router", self._router)
        scope["route"], scope["endpoint"], scope["path_params"] = plan.route, self._endpoint, converted
        sender = _Sender(send)
        try:
            values[REQUEST] = await self._read_body(request, values) if plan.body else request
            if plan.uses_response:
                values[RESPONSE] = _Injected()
            if plan.uses_tasks:
                values[TASKS] = BackgroundTasks()
            if plan.has_exits:
                await self._answer_within_exits(scope, receive, sender, values)
            else:
                response = await self._respond(values, {})
                if not _send_whole(response, send):
                    await response(scope, receive, sender)
        except Unserved:
            raise
        except Exception as error:
            return Failure(request, error, has_begun=sender.has_begun)
        return None

    def _read_parameters(self, request: Request, path_params: dict[str, str], values: list[Any]) -> dict[str, Any]:
        """Put all parameters but those of the body into their slots. Returns the converted ones of the path."""
        plan, scope = self._plan, request.scope
        sent: dict[bytes, bytes] = dict(scope["headers"])
        # A header is repeated. FastAPI decides which of its values counts.
        if len(sent) < len(scope["headers"]):
            raise Unserved(request.receive)
        try:
            converted = {name: plan.convertors[name].convert(text) for name, text in path_params.items()}
            if inherited := scope.get("path_params"):
                converted = inherited | converted
            for path in plan.path:
                values[path.slot] = _validate(path.field, converted[path.key])
            for header in plan.headers:
                text = sent.get(header.key)
                values[header.slot] = _validate_or_default(header, None if text is None else text.decode("latin-1"))
            self._read_query(scope["query_string"], values)
            for other in plan.others:
                values[other.slot] = _single_value(request_params_to_args([other.field], getattr(request, other.key)))
        except Exception:
            # A parameter is not valid, so FastAPI has to refuse the request.
            raise Unserved(request.receive) from None
        return converted

    def _read_query(self, query: bytes, values: list[Any]) -> None:
        """Raises an exception if a parameter is repeated, missing, unknown to a strict route, or not valid."""
        plan = self._plan
        sent: dict[str, Any] = {}
        if query and (plan.query_names or plan.is_strict):
            for name, text in parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict"):
                if plan.query_names[name]:
                    sent.setdefault(name, []).append(text)
                elif name in sent:
                    raise ValueError(name)
                else:
                    sent[name] = text
        for model in plan.models:
            values[model.slot] = _validate(model.field, {name: sent[name] for name in model.keys & sent.keys()})
        for parameter in plan.query:
            values[parameter.slot] = _validate_or_default(parameter, sent.get(parameter.key))

    async def _read_body(self, request: Request, values: list[Any]) -> Request:
        """Read and validate the body, and return the request that has it.

        Raises `Unserved`, with the body that was read or the exception that reading it has raised.
        """
        receive, route = request.receive, self._plan.route
        if isinstance(route, StrictJSONRoute):
            request = await route.parse(request)
        try:
            body = await request.body()
        except Exception as error:
            raise Unserved(_raise_on_receive(error)) from None
        try:
            # A strict route has checked the media type already.
            if not body or not (self._plan.is_strict or is_json(request.headers.get("content-type", ""))):
                raise ValueError
            value = await request.json()
            for part in self._plan.body:
                if self._embeds:
                    values[part.slot] = _single_value(await request_body_to_args([part.field], value, True))
                else:
                    values[part.slot] = _validate(part.field, value)
        except Exception:
            if self._plan.is_strict:
                request.scope[PARSED] = request
            raise Unserved(_receive_again(body, receive)) from None
        return request

    async def _answer_within_exits(self, scope: Scope, receive: Receive, send: Send, values: list[Any]) -> None:
        """Answer with dependencies that yield. Each ends when the answer is made or when it is sent, as in FastAPI."""
        is_sent = False
        async with AsyncExitStack() as of_request:
            # `_solve_generator` reads it.
            scope["fastapi_inner_astack"] = of_request
            async with AsyncExitStack() as of_function:
                response = await self._respond(values, {"request": of_request, "function": of_function})
            await response(scope, receive, send)
            is_sent = True
        if not is_sent:
            raise FastAPIError("A dependency that yields has swallowed an exception: it must raise it again.")

    async def _respond(self, values: list[Any], exits: Mapping[str, AsyncExitStack]) -> Response:
        plan = self._plan
        for step in plan.steps:
            arguments = _arguments(step.arguments, values)
            if step.scope is None:
                values[step.slot] = await step.call(**arguments)
            else:
                values[step.slot] = await _solve_generator(
                    dependant=step.dependant, stack=exits[step.scope], sub_values=arguments, request=values[REQUEST]
                )
        result = await plan.endpoint(**_arguments(plan.arguments, values))
        if isinstance(result, Response):
            if result.background is None:
                result.background = values[TASKS]
            return result
        return await self._serialized(result, values[RESPONSE], values[TASKS])

    async def _serialized(self, result: Any, injected: "_Injected | None", tasks: BackgroundTasks | None) -> Response:
        content = await self._content(result)
        status = (injected and injected.status_code) or self._status
        options = {"background": tasks} if status is None else {"background": tasks, "status_code": status}
        if self._is_json and is_body_allowed_for_status_code(status):
            response: Response = ShapedJSON(content, **options)
        elif self._is_json:
            response = Response(content, media_type="application/json", **options)
        else:
            response = self._response_class(content, **options)
        if not is_body_allowed_for_status_code(response.status_code):
            response.body = b""
        if injected:
            response.raw_headers.extend(injected.raw_headers)
        return response

    async def _content(self, result: Any) -> Any:
        """What FastAPI's `serialize_response` returns or raises. A valid answer in JSON takes a shorter way to it."""
        if self._is_json and self._field:
            value, errors = self._field.validate(result)
            if not errors:
                return self._field.serialize_json(value, **self._options)
        return await serialize_response(response_content=result, **self._serialization)


class _Injected(Response):
    """The `Response` to which dependencies and the endpoint add headers, without the work of its constructor."""

    def __init__(self) -> None:
        self.status_code: int | None = None  # type: ignore[assignment]
        self.background, self.body = None, b""
        self.raw_headers: Headers = []


class _Sender:
    """Knows whether the answer has begun: no handler of exceptions can answer then."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun |= message["type"] == "http.response.start"
        await self._send(message)


def _send_whole(response: Response, send: Send) -> bool:
    """Send the answer at once, if it is complete and the owner of `send` can. Returns whether it has sent it."""
    if type(response) is not ShapedJSON or response.background is not None:
        return False
    sender = owner(send)
    return isinstance(sender, Sender) and sender.send_whole(response.status_code, response.raw_headers, response.body)


def _validate(field: ModelField, value: Any) -> Any:
    valid, errors = field.validate(value, {}, loc=())
    if errors:
        raise ValueError
    return valid


def _validate_or_default(parameter: Parameter, text: str | list[str] | None) -> Any:
    if text is not None:
        return _validate(parameter.field, text)
    if parameter.default is REQUIRED:
        raise ValueError(parameter.key)
    return parameter.default


def _single_value(solved: tuple[dict[str, Any], list[Any]]) -> Any:
    values, errors = solved
    if errors:
        raise ValueError
    return next(iter(values.values()))


def _arguments(names: Arguments, values: list[Any]) -> dict[str, Any]:
    return {name: values[slot] for name, slot in names}


def _raise_on_receive(error: Exception) -> Receive:
    async def receive() -> Message:
        raise error

    return receive


def _receive_again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, which was read already, once more."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive_again() -> Message:
        for message in messages:
            return message
        return await receive()

    return receive_again
