"""What FastAPI's routes can be made of: all of it was looked at when routes were compiled.

A name too many is what an upgrade has added. Until somebody has looked at it, a route of it is FastAPI's. Then it goes
into the list here, into `src/web/route_plans.py` where it is an attribute, and into `features.py`, where both ways have
to answer the same. One too few is what an upgrade has removed.
"""

from collections.abc import Callable
from dataclasses import fields
from inspect import signature
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic.fields import FieldInfo

from src.web import compiled, route_plans
from src.web.route_plans import Plan, Unknown
from tests.web.features import DEPENDS_OPTIONS, PARAMETER_KINDS, PARAMETER_OPTIONS, ROUTE_OPTIONS

OF_DECORATOR = """
callbacks dependencies deprecated description form_limits generate_unique_id_function include_in_schema max_body_size
name openapi_extra operation_id path response_class response_description response_model response_model_by_alias
response_model_exclude response_model_exclude_defaults response_model_exclude_none response_model_exclude_unset
response_model_include responses status_code summary tags
"""
OF_ROUTE = f"{OF_DECORATOR} dependency_overrides_provider endpoint methods strict_content_type"
OF_ROUTER = """
callbacks default default_response_class dependencies dependency_overrides_provider deprecated form_limits
generate_unique_id_function include_in_schema lifespan max_body_size on_shutdown on_startup prefix redirect_slashes
responses route_class routes strict_content_type tags
"""
OF_INCLUDE = """
callbacks default_response_class dependencies deprecated form_limits generate_unique_id_function include_in_schema
max_body_size prefix responses router tags
"""
OF_APPLICATION = """
callbacks contact debug default_response_class dependencies deprecated description docs_url exception_handlers
form_limits generate_unique_id_function include_in_schema license_info lifespan max_body_size middleware on_shutdown
on_startup openapi_external_docs openapi_tags openapi_url redirect_slashes redoc_url responses root_path
root_path_in_servers routes separate_input_output_schemas servers strict_content_type summary swagger_ui_init_oauth
swagger_ui_oauth2_redirect_url swagger_ui_parameters telemetry terms_of_service title version webhooks
"""
OF_DEPENDS = "_concurrency dependency max_concurrency scope use_cache"
OF_PARAMETER = """
alias alias_priority allow_inf_nan annotation decimal_places default default_factory deprecated description
discriminator example examples fail_fast ge gt include_in_schema json_schema_extra le lt max_digits max_length
min_length multiple_of openapi_examples pattern regex serialization_alias strict title union_mode validate_default
validation_alias
"""
OF_FIELD = """
_attributes_set _complete _final _original_annotation _original_assignment _qualifiers alias alias_priority annotation
default default_factory deprecated description discriminator examples exclude exclude_if field_title_generator frozen
init init_var json_schema_extra kw_only metadata repr serialization_alias title validate_default validation_alias
"""
METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
SIGNATURES: dict[Callable[..., Any], str] = {
    **{
        getattr(APIRouter, name): OF_DECORATOR
        for name in ["get", "put", "post", "delete", "options", "head", "patch", "trace"]
    },
    APIRoute: OF_ROUTE,
    APIRouter: OF_ROUTER,
    APIRouter.include_router: OF_INCLUDE,
    FastAPI: OF_APPLICATION,
    params.Depends: OF_DEPENDS,
    params.Security: f"{OF_DEPENDS} scopes",
    params.Path: OF_PARAMETER,
    params.Query: OF_PARAMETER,
    params.Header: f"{OF_PARAMETER} convert_underscores",
    params.Cookie: OF_PARAMETER,
    params.Body: f"{OF_PARAMETER} embed media_type",
    params.Form: f"{OF_PARAMETER} media_type",
    params.File: f"{OF_PARAMETER} media_type",
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_every_option_was_looked_at(function: Callable[..., Any]) -> None:
    assert set(signature(function).parameters) - {"self"} == set(SIGNATURES[function].split())


def test_every_attribute_was_looked_at() -> None:
    app, router = FastAPI(), APIRouter()
    router.add_api_route("/", _endpoint)
    app.include_router(router)
    attributes = [
        name
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute)
        for each in (context.original_route, context._effective_route)  # noqa: SLF001 (as the compiler does)
        for name in vars(each)
    ]
    assert set(attributes) == route_plans.ROUTE_ATTRIBUTES
    assert {field.name for field in fields(Dependant)} == route_plans.DEPENDANT_ATTRIBUTES
    assert set(FieldInfo.__slots__) == set(OF_FIELD.split())
    assert {kind for kind in vars(params).values() if isinstance(kind, type) and issubclass(kind, FieldInfo)} == {
        *(FieldInfo, params.Param, params.Path, params.Query, params.Header, params.Cookie),
        *(params.Body, params.Form, params.File),
    }


def test_every_option_is_a_feature_that_is_tried() -> None:
    assert ROUTE_OPTIONS.keys() | {"path"} == set(OF_DECORATOR.split())
    tried = set().union(*(signature(kind).parameters for kind in PARAMETER_KINDS))
    assert PARAMETER_OPTIONS.keys() == tried - {"self"}
    assert {name for options in DEPENDS_OPTIONS.values() for name in options} == {
        "use_cache",
        "scope",
        "max_concurrency",
    }


async def _endpoint(q: int = 1) -> int:
    return q


def _contexts(route: Any) -> Any:
    app = FastAPI(openapi_url=None)
    app.router.routes.append(route)
    return next(iter_route_contexts(app.routes)), app


def test_a_route_with_an_option_that_is_not_known_is_left_to_fastapi() -> None:
    context, app = _contexts(APIRoute("/", _endpoint))
    Plan(context, app)
    context.original_route.cached_for = 10
    with pytest.raises(Unknown):
        Plan(context, app)


def test_a_parameter_with_an_option_that_is_not_known_is_left_to_fastapi() -> None:
    context, app = _contexts(APIRoute("/", _endpoint))
    context.dependant.query_params[0].field_info.trimmed = True
    with pytest.raises(Unknown):
        Plan(context, app)


def test_a_kind_of_parameter_that_is_not_known_is_left_to_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    context, app = _contexts(APIRoute("/", _endpoint))
    monkeypatch.setattr(route_plans, "DEPENDANT_ATTRIBUTES", route_plans.DEPENDANT_ATTRIBUTES - {"cookie_params"})
    with pytest.raises(Unknown):
        Plan(context, app)


def test_what_comes_after_a_route_that_matches_in_its_own_way_is_left_to_fastapi() -> None:
    class Fickle(APIRoute):
        def matches(self, scope: Any) -> Any:
            return super().matches(scope)

    app = FastAPI(openapi_url=None)
    app.add_api_route("/first", _endpoint)
    app.router.routes.append(Fickle("/second", _endpoint))
    app.add_api_route("/third", _endpoint)
    table = compiled.Table(app)
    assert [bool(table.find("GET", path)) for path in ("/first", "/second", "/third")] == [True, False, False]


def test_a_route_whose_dependencies_another_application_overrides_is_left_to_fastapi() -> None:
    context, app = _contexts(APIRoute("/", _endpoint, dependency_overrides_provider=FastAPI()))
    with pytest.raises(Unknown):
        Plan(context, app)
