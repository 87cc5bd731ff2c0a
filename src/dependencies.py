"""What routers share: connections and their transactions, and strict query parameters."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


async def get_engine(request: Request) -> AsyncEngine:
    engine: AsyncEngine = request.app.state.engine
    return engine


EngineDep = Annotated[AsyncEngine, Depends(get_engine)]


async def statement_connection(engine: EngineDep) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")


StatementDep = Annotated[AsyncConnection, Depends(statement_connection, scope="function")]
"""A connection for one statement, which commits itself: no BEGIN and COMMIT around it.

`scope="function"` gives it back before the response is sent, so that a slow client holds no connection.
"""


async def refuse_unknown_query(request: Request) -> None:
    """Refuse a query parameter that the operation does not document, or one that is no list and is given twice.

    A typo must not widen a query without a word.
    """
    if not request.scope["query_string"]:
        return
    operation = request.app.openapi()["paths"][request.scope["route"].path_format][request.method.lower()]
    known = {item["name"]: item["schema"] for item in operation.get("parameters", ()) if item["in"] == "query"}
    errors = [
        _error(name, *reason)
        for name, count in Counter(name for name, _ in request.query_params.multi_items()).items()
        if (reason := _refusal(known.get(name), count))
    ]
    if errors:
        raise RequestValidationError(errors)


StrictQuery = Depends(refuse_unknown_query)
"""For `APIRouter(dependencies=[...])`: holds for every operation of the router."""


def _refusal(schema: dict[str, Any] | None, count: int) -> tuple[str, str] | None:
    if schema is None:
        return "Unknown query parameter", "extra_forbidden"
    if count > 1 and schema.get("type") != "array":
        return "Given more than once", "repeated"
    return None


def _error(name: str, message: str, kind: str) -> dict[str, Any]:
    return {"loc": ("query", name), "msg": message, "type": kind}
