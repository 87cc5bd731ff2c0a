"""Create, read, list, change and remove gift cards. No function here commits.

A change locks the row first, and only then checks that it exists and which version it has.
"""

from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, delete, insert, select, update

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
from src import clock, identifiers, pagination
from src.database import AutocommitConnection, TransactionConnection
from src.etags import IfMatch

_position = TypeAdapter(tuple[UUID])
# A cursor is valid for this list alone. If the list has filters, include them, as src/audits/listing.py does.
_LIST = "gift_cards"


async def create(connection: AutocommitConnection, given: GiftCardCreate) -> GiftCard:
    """Create one."""
    now = clock.now()
    values = given.model_dump() | {"id": identifiers.new_id(), "created_at": now, "updated_at": now, "version": 1}
    created = await connection.execute(insert(gift_card).values(values).returning(gift_card))
    return _read(created.mappings().one())


async def get(connection: AutocommitConnection, gift_card_id: UUID) -> GiftCard:
    """Read one. Raises `GiftCardNotFound`."""
    found = await connection.execute(select(gift_card).where(gift_card.c.id == gift_card_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise GiftCardNotFound
    return _read(row)


async def find(connection: AutocommitConnection, query: GiftCardQuery) -> GiftCardPage:
    """Read a page, newest first, and the total. Raises `InvalidCursor`."""
    matches = select(gift_card)
    # One row more than the limit shows whether there is a next page.
    page = matches.order_by(gift_card.c.id.desc()).limit(query.limit + 1).offset(query.offset)
    if query.cursor is not None:
        page = page.where(gift_card.c.id < pagination.decode_cursor(query.cursor, _LIST, _position)[0])
    items = [_read(row) for row in (await connection.execute(page)).mappings()]
    counted = await connection.scalar(pagination.count_matches(matches, query.count))
    return GiftCardPage.of(items, query, counted, query.count, _cursor_after)


def _read(row: RowMapping) -> GiftCard:
    return GiftCard.model_validate(dict(row))


def _cursor_after(last: GiftCard) -> str:
    return pagination.encode_cursor([str(last.id)], _LIST)


async def replace(
    connection: TransactionConnection, gift_card_id: UUID, given: GiftCardCreate, if_match: IfMatch | None
) -> GiftCard:
    """Replace all fields. Raises `GiftCardNotFound`, `VersionMismatch`."""
    return await _update(connection, gift_card_id, given.model_dump(), if_match)


async def patch(
    connection: TransactionConnection, gift_card_id: UUID, changes: GiftCardPatch, if_match: IfMatch | None
) -> GiftCard:
    """Change the given fields. Two patches of different fields at the same time both take effect.

    Raises `GiftCardNotFound`, `VersionMismatch`.
    """
    return await _update(connection, gift_card_id, changes.model_dump(), if_match)


async def _update(
    connection: TransactionConnection, gift_card_id: UUID, fields: dict[str, Any], if_match: IfMatch | None
) -> GiftCard:
    current = await _lock(connection, gift_card_id, if_match)
    # At least the last change's time: another host, whose clock is ahead, may have made that change.
    now = max(clock.now(), current.updated_at)
    values = fields | {"updated_at": now, "version": current.version + 1}
    statement = update(gift_card).where(gift_card.c.id == gift_card_id).values(values).returning(gift_card)
    return _read((await connection.execute(statement)).mappings().one())


async def remove(connection: TransactionConnection, gift_card_id: UUID, if_match: IfMatch | None) -> GiftCardDeleted:
    """Delete one. Raises `GiftCardNotFound`, `VersionMismatch`."""
    await _lock(connection, gift_card_id, if_match)
    await connection.execute(delete(gift_card).where(gift_card.c.id == gift_card_id))
    return GiftCardDeleted(id=gift_card_id, deleted_at=clock.now())


async def _lock(connection: TransactionConnection, gift_card_id: UUID, if_match: IfMatch | None) -> GiftCard:
    """Read one, and lock it until the transaction ends.

    Raises `GiftCardNotFound`, `VersionMismatch`.
    """
    found = await connection.execute(select(gift_card).where(gift_card.c.id == gift_card_id).with_for_update())
    row = found.mappings().one_or_none()
    if row is None:
        raise GiftCardNotFound
    current = _read(row)
    if if_match:
        if_match.check(current.version)
    return current
