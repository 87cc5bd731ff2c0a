"""Dependencies of the gift cards router."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path

from scripts.domain.template.src.gift_cards import service
from scripts.domain.template.src.gift_cards.schemas import GiftCard
from src.web.dependencies import AutocommitDep

GiftCardId = Annotated[UUID, Path(description="The id that the service gave to it.")]


async def valid_gift_card(gift_card_id: GiftCardId, connection: AutocommitDep) -> GiftCard:
    """Read it. Raises `GiftCardNotFound`."""
    return await service.get(connection, gift_card_id)


ValidGiftCard = Annotated[GiftCard, Depends(valid_gift_card)]
"""The one that the path names; 404 if there is none.

For reads only. A write must not use it, since it can change before the write locks it.
"""
