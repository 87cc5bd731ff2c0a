"""The health endpoints, for people, load balancers and orchestrators."""

from typing import Any

from fastapi import APIRouter, Response

from src.health.constants import State
from src.health.dependencies import ChecksDep
from src.health.schemas import Health, Live

router = APIRouter(prefix="/health", tags=["health"])

_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": Health, "description": "It cannot serve; the body is the same and says why."}
}


@router.get("/live", summary="Whether the process lives")
async def read_liveness() -> Live:
    """200 while the process serves; touches nothing."""
    return Live(status=State.OK)


@router.get("", summary="Whether the service can serve, check by check", responses=_NOT_READY)
async def read_health(checks: ChecksDep, response: Response) -> Health:
    """Answers within a second. A missing AI key is reported and is no reason for 503."""
    return _answer(checks, response)


@router.get("/ready", summary="Whether to send traffic here", responses=_NOT_READY)
async def read_readiness(checks: ChecksDep, response: Response) -> Health:
    """The same as `GET /health`."""
    return _answer(checks, response)


def _answer(health: Health, response: Response) -> Health:
    if health.status is not State.OK:
        response.status_code = 503
    return health
