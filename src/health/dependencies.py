"""Runs the health checks with the objects that the lifespan created."""

from typing import Annotated

from fastapi import Depends, Request

from src.ai.client import AIClient
from src.health import service
from src.health.probe import DatabaseProbe
from src.health.schemas import Health
from src.ledger.config import LedgerSettings
from src.schema_revisions import SchemaRevisions
from src.web.state import shared


async def run_checks(request: Request) -> Health:
    """Check the database, its migrations, the ledger and the AI configuration."""
    return await service.check(
        shared(request, "database_probe", DatabaseProbe),
        shared(request, "schema_revisions", SchemaRevisions),
        signed=shared(request, "ledger_settings", LedgerSettings).ledger_key is not None,
        ai_configured=shared(request, "ai_client", AIClient).configured,
    )


ChecksDep = Annotated[Health, Depends(run_checks)]
