"""The bodies and queries of the gift cards API."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import MISSING, AwareDatetime, Field, StringConstraints

from scripts.domain.template.src.gift_cards.constants import MAX_DESCRIPTION_LENGTH, MAX_NAME_LENGTH
from src.pagination import COUNT_CAP, Count, Page, PageQuery
from src.schemas import TEXT_PATTERN, CustomModel, PatchModel, example

Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_LENGTH, pattern=TEXT_PATTERN)]
Description = Annotated[str, StringConstraints(min_length=1, max_length=MAX_DESCRIPTION_LENGTH, pattern=TEXT_PATTERN)]

_EXAMPLE_BODY = {"name": "The first", "description": "More about it."}
_EXAMPLE_RECORD = _EXAMPLE_BODY | {
    "id": "019c1400-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
    "created_at": "2026-01-31T12:00:00.250000Z",
    "updated_at": "2026-01-31T12:00:00.250000Z",
    "version": 1,
}
_EXAMPLE_PAGE = {
    "items": [_EXAMPLE_RECORD],
    "limit": 20,
    "offset": 0,
    "total": 1,
    "total_relation": "eq",
    "next_cursor": None,
}


class GiftCardCreate(CustomModel):
    model_config = example(_EXAMPLE_BODY)

    name: Name = Field(description="What people call it.")
    description: Description | None = Field(None, description="Anything else.")


class GiftCardPatch(PatchModel):
    """The fields to change, each as a whole."""

    model_config = example({"name": "The second"})

    name: Name | MISSING = MISSING
    description: Description | MISSING | None = MISSING


class GiftCard(CustomModel):
    """The current version."""

    model_config = example(_EXAMPLE_RECORD)

    id: UUID
    name: str
    description: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime = Field(description="When it was last changed.")
    version: int = Field(description="1 for a new one; each change adds 1.")


class GiftCardDeleted(CustomModel):
    model_config = example({"id": _EXAMPLE_RECORD["id"], "deleted_at": "2026-02-01T08:00:00Z"})

    id: UUID
    deleted_at: datetime


class GiftCardQuery(PageQuery):
    count: Count = Field(Count.CAPPED, description=f"`capped` counts to {COUNT_CAP}; `none` does not count.")


class GiftCardPage(Page[GiftCard]):
    model_config = example(_EXAMPLE_PAGE)
