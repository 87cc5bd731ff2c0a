"""What can be done with gift cards. No function here commits.

A write decides in its own locking statement whether there is such a record, and of which version.
"""

from functools import cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Integer, Select, Text, bindparam, cast, delete, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scripts.domain.template.src.gift_cards.exceptions import GiftCardNotFound
from scripts.domain.template.src.gift_cards.models import gift_card
from scripts.domain.template.src.gift_cards.schemas import (
    GiftCard,
    GiftCardCreate,
    GiftCardDeleted,
    GiftCardPage,
    GiftCardPatch,
    GiftCardQuery,
)
from src import clock, pagination
from src.conditional import IfMatch
from src.database import AutocommitConnection, Statement, as_object
from src.identifiers import new_id
from src.pagination import Count

_found = TypeAdapter(list[GiftCard])
_position = TypeAdapter(tuple[UUID])
# What a cursor is bound to. A list that takes filters is bound to them too: see src/audits/listing.py.
_LIST = "gift_cards"

_AS_OBJECT = as_object(gift_card.c)
_AS_JSON = cast(_AS_OBJECT, Text)

_CREATE = Statement(insert(gift_card).returning(_AS_JSON))
_GET = Statement(select(_AS_JSON).where(gift_card.c.id == bindparam("gift_card_id")))


async def create(connection: AutocommitConnection, given: GiftCardCreate) -> GiftCard:
    now = clock.now()
    values = given.model_dump() | {"id": new_id(), "created_at": now, "updated_at": now, "version": 1}
    (created,) = await connection.fetch_column(_CREATE, **values)
    return GiftCard.model_validate_json(created)


async def get(connection: AutocommitConnection, gift_card_id: UUID) -> GiftCard:
    """Raises `GiftCardNotFound`."""
    found = await connection.fetch_column(_GET, gift_card_id=gift_card_id)
    if not found:
        raise GiftCardNotFound
    return GiftCard.model_validate_json(found[0])


async def find(connection: AutocommitConnection, query: GiftCardQuery) -> GiftCardPage:
    """One page, newest first, and its total, in one statement, so that both are of one moment.

    Raises `InvalidCursor`.
    """
    values: dict[str, Any] = {"limit": query.limit + 1, "offset": query.offset}
    if query.cursor is not None:
        values["last_id"] = pagination.decode_cursor(query.cursor, _LIST, _position)[0]
    found, counted = await connection.fetch_row(_page("last_id" in values, query.count), **values)
    items = _found.validate_json(found)
    total, relation = pagination.relate_total(counted, query.count)
    return GiftCardPage(
        items=items[: query.limit],
        limit=query.limit,
        offset=None if query.cursor else query.offset,
        total=total,
        total_relation=relation,
        next_cursor=_cursor(items[query.limit - 1]) if len(items) > query.limit else None,
    )


@cache
def _page(is_behind_cursor: bool, count: Count) -> Statement:
    """One row: the items as a JSON array, one more than the limit where there are more, and how many there are."""
    items = (
        select(_AS_OBJECT.label("item"))
        .where(*([gift_card.c.id < bindparam("last_id")] if is_behind_cursor else []))
        .order_by(gift_card.c.id.desc())
        .limit(bindparam("limit", type_=Integer))
        .offset(bindparam("offset", type_=Integer))
        .subquery()
    )
    matches: Select[Any] = select(literal_column("1")).select_from(gift_card)
    counted = pagination.count_matches(matches, count)
    return Statement(select(pagination.as_array(items), counted.scalar_subquery()))


def _cursor(last: GiftCard) -> str:
    return pagination.encode_cursor([str(last.id)], _LIST)


async def replace(
    connection: AsyncConnection, gift_card_id: UUID, given: GiftCardCreate, if_match: IfMatch | None
) -> GiftCard:
    """Raises `GiftCardNotFound`, `VersionMismatch`."""
    return await _rewrite(connection, gift_card_id, given.model_dump(), if_match)


async def patch(
    connection: AsyncConnection, gift_card_id: UUID, changes: GiftCardPatch, if_match: IfMatch | None
) -> GiftCard:
    """Of two patches at once to different fields, both survive.

    Raises `GiftCardNotFound`, `VersionMismatch`.
    """
    return await _rewrite(connection, gift_card_id, changes.model_dump(), if_match)


async def _rewrite(
    connection: AsyncConnection, gift_card_id: UUID, fields: dict[str, Any], if_match: IfMatch | None
) -> GiftCard:
    current = await _lock(connection, gift_card_id, if_match)
    # Never before the last change, which a host with another clock may have made.
    now = max(clock.now(), current.updated_at)
    values = fields | {"updated_at": now, "version": current.version + 1}
    statement = update(gift_card).where(gift_card.c.id == gift_card_id).values(values).returning(_AS_JSON)
    return GiftCard.model_validate_json((await connection.execute(statement)).scalar_one())


async def remove(connection: AsyncConnection, gift_card_id: UUID, if_match: IfMatch | None) -> GiftCardDeleted:
    """Raises `GiftCardNotFound`, `VersionMismatch`."""
    await _lock(connection, gift_card_id, if_match)
    await connection.execute(delete(gift_card).where(gift_card.c.id == gift_card_id))
    return GiftCardDeleted(id=gift_card_id, deleted_at=clock.now())


async def _lock(connection: AsyncConnection, gift_card_id: UUID, if_match: IfMatch | None) -> GiftCard:
    """As it stands until the transaction ends. Raises `GiftCardNotFound`, `VersionMismatch`."""
    found = await connection.scalar(select(_AS_JSON).where(gift_card.c.id == gift_card_id).with_for_update())
    if found is None:
        raise GiftCardNotFound
    current = GiftCard.model_validate_json(found)
    if if_match:
        if_match.check(current.version)
    return current
