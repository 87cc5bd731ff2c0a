"""Runs the health checks with the objects that the lifespan created."""

from typing import Annotated

from fastapi import Depends, Request

from src.health import service
from src.health.schemas import Health


async def run_checks(request: Request) -> Health:
    """Check the database, its migrations and the AI configuration."""
    state = request.state
    return await service.check(state.database_probe, state.revisions, ai_configured=state.ai_client.configured)


ChecksDep = Annotated[Health, Depends(run_checks)]
