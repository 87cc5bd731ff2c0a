"""What the paths of the gift cards domain say, understood once."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path

from scripts.domain.template.src.gift_cards import service
from scripts.domain.template.src.gift_cards.schemas import GiftCard
from src.web.dependencies import AutocommitDep

GiftCardId = Annotated[UUID, Path(description="The id that the service gave to it.")]


async def valid_gift_card(gift_card_id: GiftCardId, connection: AutocommitDep) -> GiftCard:
    return await service.get(connection, gift_card_id)


ValidGiftCard = Annotated[GiftCard, Depends(valid_gift_card)]
"""What the path names; 404 where there is none. For reads: a write decides that in its own statement."""
