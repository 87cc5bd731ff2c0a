"""The checks to run, out of what the lifespan has prepared."""

from typing import Annotated

from fastapi import Depends, Request

from src.health import service
from src.health.schemas import Health


async def run_checks(request: Request) -> Health:
    state = request.state
    return await service.check(state.database_probe, state.revisions, ai_configured=state.ai_client.configured)


ChecksDep = Annotated[Health, Depends(run_checks)]
