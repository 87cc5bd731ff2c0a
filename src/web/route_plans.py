"""What each request of a route needs, worked out once: its parameters, its dependencies in order, its endpoint.

FastAPI works this out for each request: it walks the tree of dependencies, and asks each parameter for its name, its
place and its default. `src/web/compiled.py` carries out a plan, and says how to switch it off.

A route has a plan only if the lists below name everything that it is made of. They do not name what an upgrade of
FastAPI adds: then `tests/web/test_compiled_options.py` fails and names it, and FastAPI serves such routes until
somebody has added it here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from inspect import isasyncgenfunction, iscoroutinefunction, unwrap
from typing import Any

from fastapi import FastAPI, Request, Response, params
from fastapi._compat import (
    ModelField,
    field_annotation_is_scalar,
    field_annotation_is_sequence,
    lenient_issubclass,
)
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_validation_alias
from fastapi.routing import APIRoute, RouteContext, request_response
from fastapi.sse import EventSourceResponse
from pydantic import Json
from pydantic_core import PydanticUndefined

from src.web.routes import StrictJSONRoute, is_list, named_parameters, query_fields

# Attributes of a route: those that describe it, and those that an answer depends on.
_DESCRIBING = """
callbacks deprecated description frontend_prefix generate_unique_id_function include_in_schema name openapi_extra
operation_id original_route path response_description response_fields responses starlette_route summary tags unique_id
"""
_SERVING = """
_embed_body_fields app body_field dependant dependencies dependency_overrides_provider endpoint form_limits
is_json_stream is_sse_stream max_body_size methods param_convertors path_format path_regex response_class response_field
response_model response_model_by_alias response_model_exclude response_model_exclude_defaults
response_model_exclude_none response_model_exclude_unset response_model_include status_code stream_item_field
stream_item_type strict_content_type
"""
_OF_DEPENDANT = """
background_tasks_param_name body_params call concurrency cookie_params dependencies header_params
http_connection_param_name name own_oauth_scopes parent_oauth_scopes path path_params query_params request_param_name
response_param_name scope security_scopes_param_name use_cache websocket_param_name
"""
# The attributes that FastAPI's parameters add to those of Pydantic's `FieldInfo`.
_OF_PARAMETER = "convert_underscores embed example in_ include_in_schema media_type openapi_examples"

ROUTE_ATTRIBUTES = frozenset((_DESCRIBING + _SERVING).split())
DEPENDANT_ATTRIBUTES = frozenset(_OF_DEPENDANT.split())
PARAMETER_ATTRIBUTES = frozenset(_OF_PARAMETER.split())


async def _answer_nothing(_request: Request) -> Response:
    return Response()


# The methods by which a route serves, and the classes whose methods are known.
_METHODS = ("get_route_handler", "handle", "matches")
_KINDS = (APIRoute, StrictJSONRoute)
_SERVES = request_response(_answer_nothing).__code__
"""The code of what a route calls to serve, its `app`, unless somebody has wrapped it."""

_PARAMETERS = (params.Path, params.Query, params.Header, params.Cookie, params.Body)

_IMMUTABLE = (type(None), bool, int, float, str, bytes)

# The slots that every request has. The slots of parameters and dependencies follow.
REQUEST, RESPONSE, TASKS = range(3)

REQUIRED = PydanticUndefined
"""The default of a parameter that has none."""

Arguments = tuple[tuple[str, int], ...]
"""The name of each argument of a call, and the slot that holds its value."""


class Unknown(Exception):
    """The route has something that no list here names, so FastAPI serves all its requests."""


@dataclass(frozen=True, slots=True)
class Step:
    """A dependency to call. One that yields has a `scope`, with which it ends: `function` or `request`."""

    dependant: Dependant
    call: Callable[..., Any]
    arguments: Arguments
    slot: int
    scope: str | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, and the name under which clients send it. Without a default, `default` is `REQUIRED`."""

    slot: int
    key: Any
    field: ModelField
    default: Any = REQUIRED


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose fields are query parameters with the names `keys`."""

    slot: int
    keys: frozenset[str]
    field: ModelField


class Plan:
    """What requests of one route need. Raises `Unknown` if the route has something that no list here names."""

    def __init__(self, context: RouteContext, application: FastAPI) -> None:
        self.route = _known_route(context, application)
        self.is_strict = isinstance(self.route, StrictJSONRoute)
        self.endpoint: Callable[..., Any] = context.dependant.call
        _require(_is_coroutine_function(self.endpoint))
        self.convertors: Mapping[str, Any] = context.param_convertors
        self.path: list[Parameter] = []
        self.headers: list[Parameter] = []
        self.query: list[Parameter] = []
        self.models: list[Model] = []
        self.query_names: dict[str, bool] = {}
        """The names that the query may have, and whether each is a list."""

        self.others: list[Parameter] = []
        """Parameters that FastAPI's own functions read. The key is the attribute of the request that holds them."""

        self.body: list[Parameter] = []
        self.steps: list[Step] = []
        self.size = len((REQUEST, RESPONSE, TASKS))
        self.uses_response = self.uses_tasks = False
        self._solved: dict[Any, int] = {}
        query = list(query_fields(context.dependant))
        # FastAPI also gives a model the parameters that are not its own, which it may refuse.
        _require(len(query) < 2 or all(named_parameters(field) == [field] for field in query))
        self._has_plain_query = all(map(_is_plain_query, query))
        self.arguments = self._visit(context.dependant)
        self.has_exits = any(step.scope for step in self.steps)

    def _visit(self, dependant: Dependant) -> Arguments:
        """The arguments of a dependency, or of the endpoint. Its own dependencies become steps, in FastAPI's order."""
        _require(
            dependant.concurrency is None,
            dependant.websocket_param_name is None,
            dependant.security_scopes_param_name is None,
            not dependant.own_oauth_scopes,
            not dependant.parent_oauth_scopes,
        )
        self.uses_response |= dependant.response_param_name is not None
        self.uses_tasks |= dependant.background_tasks_param_name is not None
        arguments = [
            *[(inner.name, self._solve(inner)) for inner in dependant.dependencies],
            *self._parameters(dependant),
            (dependant.http_connection_param_name, REQUEST),
            (dependant.request_param_name, REQUEST),
            (dependant.background_tasks_param_name, TASKS),
            (dependant.response_param_name, RESPONSE),
        ]
        return tuple((name, slot) for name, slot in arguments if name is not None)

    def _solve(self, dependant: Dependant) -> int:
        # As in FastAPI, its own dependencies are visited even if its value is cached, since they may not be.
        arguments = self._visit(dependant)
        call: Any = dependant.call
        scope = None
        if isasyncgenfunction(call) and isasyncgenfunction(unwrap(call)):
            scope = dependant.scope or "request"
        else:
            _require(_is_coroutine_function(call))
        key = (call, scope or dependant.scope)
        if dependant.use_cache and key in self._solved:
            return self._solved[key]
        slot = self._slot()
        self.steps.append(Step(dependant, call, arguments, slot, scope))
        self._solved.setdefault(key, slot)
        return slot

    def _slot(self) -> int:
        self.size += 1
        return self.size - 1

    def _parameters(self, dependant: Dependant) -> Iterator[tuple[str, int]]:
        kinds = (
            (dependant.path_params, self._read_path),
            (dependant.query_params, self._read_query),
            (dependant.header_params, self._read_header),
            (dependant.cookie_params, self._read_cookie),
            (dependant.body_params, self._read_body),
        )
        for parameters, read in kinds:
            for field in parameters:
                _require(
                    isinstance(field.field_info, _PARAMETERS), vars(field.field_info).keys() <= PARAMETER_ATTRIBUTES
                )
                slot = self._slot()
                read(slot, field)
                yield field.name, slot

    def _read_path(self, slot: int, field: ModelField) -> None:
        key = get_validation_alias(field)
        _require(key in self.convertors)
        self.path.append(Parameter(slot, key, field))

    def _read_header(self, slot: int, field: ModelField) -> None:
        if _is_plain(field) and field_annotation_is_scalar(field.field_info.annotation) and _has_constant(field):
            name = get_validation_alias(field).lower()
            _require(name.isascii())
            key = name.encode()
            self.headers.append(Parameter(slot, key, field, field.get_default()))
        else:
            self.others.append(Parameter(slot, "headers", field))

    def _read_query(self, slot: int, field: ModelField) -> None:
        if not self._has_plain_query:
            self.others.append(Parameter(slot, "query_params", field))
            return
        named = named_parameters(field)
        for inner in named:
            repeatable = is_list(inner)
            _require(self.query_names.setdefault(get_validation_alias(inner), repeatable) is repeatable)
        if named == [field]:
            self.query.append(Parameter(slot, get_validation_alias(field), field, field.get_default()))
        else:
            self.models.append(Model(slot, frozenset(map(get_validation_alias, named)), field))

    def _read_cookie(self, slot: int, field: ModelField) -> None:
        self.others.append(Parameter(slot, "cookies", field))

    def _read_body(self, slot: int, field: ModelField) -> None:
        _require(not isinstance(field.field_info, params.Form))
        self.body.append(Parameter(slot, "body", field))


def _known_route(context: RouteContext, application: FastAPI) -> APIRoute:
    route, effective = context.original_route, context._effective_route  # noqa: SLF001 (nothing else has its attributes)
    _require(isinstance(route, APIRoute), {field.name for field in fields(Dependant)} <= DEPENDANT_ATTRIBUTES)
    assert isinstance(route, APIRoute)
    _require(
        vars(route).keys() | vars(effective).keys() <= ROUTE_ATTRIBUTES,
        any(all(getattr(type(route), name) is getattr(kind, name) for name in _METHODS) for kind in _KINDS),
        getattr(vars(effective).get("app"), "__code__", None) is _SERVES,
        context.dependency_overrides_provider in (None, application),
        context.max_body_size is None,
        not context.is_json_stream and context.stream_item_field is None,
        not lenient_issubclass(value_of(context.response_class), EventSourceResponse),
    )
    return route


def _require(*known: bool) -> None:
    if not all(known):
        raise Unknown


def _is_coroutine_function(call: Any) -> bool:
    return iscoroutinefunction(call) and iscoroutinefunction(unwrap(call))


def _is_plain(field: ModelField) -> bool:
    """Whether it has one name, and its text needs no parsing before it is validated."""
    info = field.field_info
    return isinstance(info.validation_alias, str | None) and not any(type(item) is Json for item in info.metadata)


def _is_plain_query(field: ModelField) -> bool:
    named = named_parameters(field)
    kind = field.field_info.annotation
    is_one = (is_list(field) or field_annotation_is_scalar(kind)) and _has_constant(field)
    return (is_one or named != [field]) and all(
        _is_plain(each) and (is_list(each) or not field_annotation_is_sequence(each.field_info.annotation))
        for each in (field, *named)
    )


def _has_constant(field: ModelField) -> bool:
    """Whether it has no default, or one that is the same immutable value for all requests."""
    info = field.field_info
    if info.is_required():
        return True
    return not info.validate_default and isinstance(info.default, _IMMUTABLE)


def value_of(option: Any) -> Any:
    """The value of an option of FastAPI's, which wraps its defaults."""
    return option.value if isinstance(option, DefaultPlaceholder) else option
