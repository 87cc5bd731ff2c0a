"""Dependencies of the ledger's routers: the settings, and the paths of tiles."""

from typing import Annotated

from fastapi import Depends, Path, Request

from src.ledger.config import LedgerSettings
from src.ledger.exceptions import TileNotFound
from src.ledger.tiles import MAX_LEVEL, TilePath
from src.web.state import shared


async def get_settings(request: Request) -> LedgerSettings:
    return shared(request, "ledger_settings", LedgerSettings)


SettingsDep = Annotated[LedgerSettings, Depends(get_settings)]


async def parse_tile_path(
    path: Annotated[str, Path(description="The number and the width as c2sp.org/tlog-tiles writes them.")],
) -> TilePath:
    """Read the path of a tile behind its level. Raises `TileNotFound`."""
    try:
        return TilePath.parse(path)
    except ValueError:
        raise TileNotFound("Paths of tiles are those of c2sp.org/tlog-tiles, such as x001/x234/067.p/12.") from None


TilePathDep = Annotated[TilePath, Depends(parse_tile_path)]

TileLevel = Annotated[int, Path(ge=0, le=MAX_LEVEL, description="0 are the hashes of leaves.")]
