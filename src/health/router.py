"""The health endpoints, for people, load balancers and orchestrators."""

from typing import Any

from fastapi import APIRouter, Response

from src.health.constants import State
from src.health.dependencies import ChecksDep
from src.health.schemas import Health, Live

router = APIRouter(prefix="/health", tags=["health"])

_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "The service cannot serve requests; the body says why."}
}


@router.get("/live", summary="Whether the process runs")
async def read_liveness() -> Live:
    """Answers 200 while the process runs, without asking the database."""
    return Live(status=State.OK)


@router.get("", summary="Whether the service can serve, check by check", responses=_NOT_READY)
async def read_health(checks: ChecksDep, response: Response) -> Health:
    """Answers within a second. Without an AI key the service still answers 200, and reports `not_configured`."""
    return _set_status(checks, response)


@router.get("/ready", summary="Whether to send traffic here", responses=_NOT_READY)
async def read_readiness(checks: ChecksDep, response: Response) -> Health:
    """The same as `GET /health`."""
    return _set_status(checks, response)


def _set_status(health: Health, response: Response) -> Health:
    """Answer 503 unless the service can serve requests."""
    if health.status is State.UNAVAILABLE:
        response.status_code = 503
    return health
