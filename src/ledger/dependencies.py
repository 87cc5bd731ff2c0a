"""Dependencies of the ledger's routers: the settings, and the paths of tiles."""

import re
from typing import Annotated

from fastapi import Depends, Header, Path, Request
from pydantic import BeforeValidator, Field

from src.ledger.config import LedgerSettings
from src.ledger.exceptions import TileNotFound
from src.ledger.followers import Followers
from src.ledger.schemas import MAX_SIZE
from src.ledger.tiles import MAX_LEVEL, TilePath
from src.web.state import shared


async def get_settings(request: Request) -> LedgerSettings:
    return shared(request, "ledger_settings", LedgerSettings)


SettingsDep = Annotated[LedgerSettings, Depends(get_settings)]


async def get_followers(request: Request) -> Followers:
    return shared(request, "followers", Followers)


FollowersDep = Annotated[Followers, Depends(get_followers)]
# Some clients send an empty one before their first event.
LastEventId = Annotated[
    Annotated[int, Field(ge=-1, le=MAX_SIZE)] | None,
    BeforeValidator(lambda value: value or None),
    Header(
        alias="Last-Event-ID",
        description="The index behind which a stream goes on. Browsers send it by themselves; it comes before `after`.",
    ),
]


async def parse_tile_path(
    path: Annotated[str, Path(description="The number and the width as c2sp.org/tlog-tiles writes them.")],
) -> TilePath:
    """Read the path of a tile behind its level. Raises `TileNotFound`."""
    try:
        return TilePath.parse(path)
    except ValueError:
        raise TileNotFound("Paths of tiles are those of c2sp.org/tlog-tiles, such as x001/x234/067.p/12.") from None


TilePathDep = Annotated[TilePath, Depends(parse_tile_path)]

_LEVEL = re.compile(r"0|[1-9]\d?", re.ASCII)
_LEVEL_SCHEMA = {"type": "integer", "minimum": 0, "maximum": MAX_LEVEL}


async def parse_tile_level(
    level: Annotated[str, Path(description="0 are the hashes of leaves.", json_schema_extra={**_LEVEL_SCHEMA})],
) -> int:
    """Read the level in a tile's path, which has one form: others get 404 too. Raises `TileNotFound`."""
    if not _LEVEL.fullmatch(level) or int(level) > MAX_LEVEL:
        raise TileNotFound(f"Levels of tiles are 0 to {MAX_LEVEL}.")
    return int(level)


TileLevelDep = Annotated[int, Depends(parse_tile_level)]
