"""`GET /` and the documentation pages, which need no host but this one."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.openapi.utils import generate_operation_summary
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from src import __version__
from src.config import EXPLORER_PATH, AppSettings
from src.schemas import CustomModel, example
from src.web.state import shared

ASSETS_PATH = "/docs/assets"
OPENAPI_PATH = "/openapi.json"
# Swagger UI and ReDoc: the static files of the package. We do not use its wrapper of FastAPI.
_ASSETS = ("fastapi_offline", "static")
# The files have the same names in every release, so for an hour after an upgrade a browser may use the old ones.
_ASSET_CACHING = "public, max-age=3600"

router = APIRouter(tags=["index"])


class Endpoint(CustomModel):
    method: str
    path: str
    summary: str


class Index(CustomModel):
    model_config = example(
        {
            "name": "Audit trail",
            "version": "0.1.0",
            "links": {
                "openapi": "/openapi.json",
                "health": "/health",
                "docs": "/docs",
                "redoc": "/redoc",
                "explorer": EXPLORER_PATH,
            },
            "endpoints": [{"method": "GET", "path": "/", "summary": "What this service offers"}],
        }
    )

    name: str
    version: str
    links: dict[str, str]
    endpoints: list[Endpoint]


@router.get("/", summary="What this service offers")
async def read_index(request: Request) -> Index:
    """Every endpoint of the OpenAPI document."""
    app: FastAPI = request.app
    settings = shared(request, "app_settings", AppSettings)
    return Index(
        name=app.title,
        version=__version__,
        links=_links(settings),
        endpoints=_endpoints(app, settings.root_path),
    )


def _links(settings: AppSettings) -> dict[str, str]:
    links = {"openapi": OPENAPI_PATH, "health": "/health"}
    if settings.docs_enabled:
        links |= {"docs": "/docs", "redoc": "/redoc"}
    if settings.explorer_enabled:
        links["explorer"] = EXPLORER_PATH
    return {name: settings.root_path + path for name, path in links.items()}


def _endpoints(app: FastAPI, root_path: str) -> list[Endpoint]:
    """The operations of the OpenAPI document, in its order. To make the document itself would take 150 ms of CPU."""
    by_path: dict[str, list[Endpoint]] = {}
    routes: Iterator[Any] = iter_route_contexts(app.routes)
    for route in routes:
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            path = root_path + route.path_format
            for method in route.methods:
                summary = generate_operation_summary(route=route, method=method)
                by_path.setdefault(path, []).append(Endpoint(method=method, path=path, summary=summary))
    return [endpoint for endpoints in by_path.values() for endpoint in endpoints]


class _Assets(StaticFiles):
    """The files of the documentation, always sent whole: Starlette answers a bad range with plain text."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [header for header in scope["headers"] if header[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)

    @override
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = _ASSET_CACHING
        response.headers["Accept-Ranges"] = "none"
        return response


def install_documentation(app: FastAPI, settings: AppSettings) -> None:
    """Add `/docs` and `/redoc`, unless `DOCS_ENABLED` is off."""
    if not settings.docs_enabled:
        return
    assets, openapi_url = settings.root_path + ASSETS_PATH, settings.root_path + OPENAPI_PATH
    app.mount(ASSETS_PATH, _Assets(packages=[_ASSETS]), name="documentation-assets")

    @app.get("/docs", include_in_schema=False)
    async def swagger_ui() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=openapi_url,
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{assets}/swagger-ui-bundle.js",
            swagger_css_url=f"{assets}/swagger-ui.css",
            swagger_favicon_url=f"{assets}/favicon.png",
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        return get_redoc_html(
            openapi_url=openapi_url,
            title=f"{app.title} - ReDoc",
            redoc_js_url=f"{assets}/redoc.standalone.js",
            redoc_favicon_url=f"{assets}/favicon.png",
            with_google_fonts=False,
        )
