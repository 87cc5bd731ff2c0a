"""The endpoints of the gift cards domain.

Each reads the request, calls the service once and writes the response.
"""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from scripts.domain.template.src.gift_cards import service
from scripts.domain.template.src.gift_cards.dependencies import GiftCardId, ValidGiftCard
from scripts.domain.template.src.gift_cards.exceptions import GiftCardNotFound
from scripts.domain.template.src.gift_cards.schemas import (
    GiftCard,
    GiftCardCreate,
    GiftCardDeleted,
    GiftCardPage,
    GiftCardPatch,
    GiftCardQuery,
)
from src.config import API_PREFIX
from src.etags import etag
from src.exceptions import VersionMismatch
from src.pagination import links
from src.web import openapi, problems
from src.web.dependencies import AutocommitDep, IfMatchDep, IfNoneMatch, TransactionDep, not_modified
from src.web.routes import StrictJSONRoute

router = APIRouter(
    prefix=f"{API_PREFIX}/gift-cards",
    tags=["gift-cards"],
    route_class=StrictJSONRoute,
    responses=problems.documented(*problems.DATABASE_ERRORS),
)

_CREATED = openapi.describe(*problems.BODY_ERRORS, status=201, headers=openapi.LOCATION | openapi.ETAG)
_LISTED = openapi.describe(headers=openapi.LINK)
_READ = openapi.NOT_MODIFIED | openapi.describe(GiftCardNotFound, headers=openapi.ETAG)
_CHANGED = openapi.describe(GiftCardNotFound, VersionMismatch, *problems.BODY_ERRORS, headers=openapi.ETAG)
_REMOVED = openapi.describe(GiftCardNotFound, VersionMismatch)


@router.post("", status_code=201, summary="Create a new gift card", responses=_CREATED)
async def create_gift_card(
    given: GiftCardCreate, connection: AutocommitDep, request: Request, response: Response
) -> GiftCard:
    """The service sets `id`, `created_at`, `updated_at` and `version`."""
    created = await service.create(connection, given)
    response.headers["Location"] = f"{request.scope['path']}/{created.id}"
    response.headers["ETag"] = etag(created.version)
    return created


@router.get("", summary="List gift cards", responses=_LISTED)
async def list_gift_cards(
    query: Annotated[GiftCardQuery, Query()], connection: AutocommitDep, request: Request, response: Response
) -> GiftCardPage:
    """Newest first, 20 by default and 50 at most. Follow `next_cursor`, or the link `next`, to read them all."""
    found = await service.find(connection, query)
    response.headers["Link"] = links(request.scope["path"], query, found.next_cursor)
    return found


@router.get("/{gift_card_id:uuid}", summary="Read one gift card", response_model=GiftCard, responses=_READ)
async def read_gift_card(
    found: ValidGiftCard, if_none_match: IfNoneMatch = None, *, request: Request, response: Response
) -> GiftCard | Response:
    """The current version."""
    if unchanged := not_modified(request, if_none_match, found.version):
        return unchanged
    response.headers["ETag"] = etag(found.version)
    return found


@router.put("/{gift_card_id:uuid}", summary="Replace one gift card", responses=_CHANGED)
async def replace_gift_card(
    gift_card_id: GiftCardId,
    given: GiftCardCreate,
    connection: TransactionDep,
    if_match: IfMatchDep,
    response: Response,
) -> GiftCard:
    """Replaces all of it: fields that are left out take their defaults.

    Without `If-Match` the last writer wins.
    """
    replaced = await service.replace(connection, gift_card_id, given, if_match)
    response.headers["ETag"] = etag(replaced.version)
    return replaced


@router.patch("/{gift_card_id:uuid}", summary="Change some fields of one gift card", responses=_CHANGED)
async def patch_gift_card(
    gift_card_id: GiftCardId,
    changes: GiftCardPatch,
    connection: TransactionDep,
    if_match: IfMatchDep,
    response: Response,
) -> GiftCard:
    """Replaces each given field as a whole; the other fields stay as they are.

    Without `If-Match` the last writer wins, field by field.
    """
    changed = await service.patch(connection, gift_card_id, changes, if_match)
    response.headers["ETag"] = etag(changed.version)
    return changed


@router.delete("/{gift_card_id:uuid}", summary="Remove one gift card", responses=_REMOVED)
async def delete_gift_card(
    gift_card_id: GiftCardId, connection: TransactionDep, if_match: IfMatchDep
) -> GiftCardDeleted:
    """Afterwards it answers 404."""
    return await service.remove(connection, gift_card_id, if_match)
