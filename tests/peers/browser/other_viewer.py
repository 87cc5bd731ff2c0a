"""sqladmin over the table of the records, which is measured beside the explorer, in the environment of the peers."""

import os
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import uvicorn
from sqladmin import Admin, ModelView
from sqlalchemy import DateTime, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


class Base(DeclarativeBase):
    pass


class Audit(Base):
    __tablename__ = "audit"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    status: Mapped[str]
    action: Mapped[str]
    entity_type: Mapped[str]
    entity_id: Mapped[str]
    actor_id: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)


class AuditAdmin(ModelView, model=Audit):
    """What the explorer shows in a row, in its order, and as many rows as it loads at once."""

    column_list: ClassVar = [
        Audit.occurred_at,
        Audit.status,
        Audit.action,
        Audit.entity_type,
        Audit.entity_id,
        Audit.actor_id,
        Audit.details,
    ]
    column_default_sort = ("occurred_at", True)
    page_size = 50


async def live(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


def main() -> None:
    app = Starlette(routes=[Route("/health/live", live)])
    Admin(app, create_async_engine(os.environ["DATABASE_URL"])).add_view(AuditAdmin)
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")


if __name__ == "__main__":
    main()
