"""`GET /` and the documentation pages, which need no host but this one."""

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from src import __version__
from src.config import AppSettings
from src.schemas import CustomModel, example

ASSETS_PATH = "/docs/assets"
OPENAPI_PATH = "/openapi.json"
# The assets of the wheel; its own wrapper of FastAPI is not used.
_ASSETS = files("fastapi_offline") / "static"
# Their names are the same in every release: for an hour after an upgrade a page may come with those of the one before.
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
            "links": {"openapi": "/openapi.json", "health": "/health", "docs": "/docs", "redoc": "/redoc"},
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
    return Index(name=app.title, version=__version__, links=_links(app), endpoints=_endpoints(app.openapi()))


def _links(app: FastAPI) -> dict[str, str]:
    links = {"openapi": OPENAPI_PATH, "health": "/health"}
    if app.state.settings.docs_enabled:
        links |= {"docs": "/docs", "redoc": "/redoc"}
    return links


def _endpoints(openapi: dict[str, Any]) -> list[Endpoint]:
    return [
        Endpoint(method=method.upper(), path=path, summary=operation["summary"])
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    ]


class _Assets(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers["Cache-Control"] = _ASSET_CACHING
        return response


def install_documentation(app: FastAPI, settings: AppSettings) -> None:
    """Add `/docs` and `/redoc`, unless the settings say otherwise."""
    if not settings.docs_enabled:
        return
    app.mount(ASSETS_PATH, _Assets(directory=str(_ASSETS)), name="documentation-assets")

    @app.get("/docs", include_in_schema=False)
    async def swagger_ui() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=OPENAPI_PATH,
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS_PATH}/favicon.png",
        )

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        return get_redoc_html(
            openapi_url=OPENAPI_PATH,
            title=f"{app.title} - ReDoc",
            redoc_js_url=f"{ASSETS_PATH}/redoc.standalone.js",
            redoc_favicon_url=f"{ASSETS_PATH}/favicon.png",
            with_google_fonts=False,
        )
