"""The Merkle tree as tiles (https://c2sp.org/tlog-tiles): where each hash is, how tiles grow, and their paths.

A tile has up to 256 hashes of one level. Those of tile level L are the hashes of perfect subtrees of 256^L leaves. A
tile is stored as far as it goes, so a narrower one is a prefix of what is stored.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

from typing_extensions import override

from src.ledger.exceptions import TileLost
from src.ledger.merkle import HASH_BYTES, Node, Range, hash_perfect, hash_range, perfect_subtrees

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_LEVEL = 63
# No tile number is greater: then its first hash would be beyond 2^63 leaves.
MAX_NUMBER = 2**63 // WIDTH - 1

_PATH = re.compile(r"(?:x(?!000)\d{3}/(?:x\d{3}/)*)?(\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


class TileId(NamedTuple):
    level: int
    number: int


Tiles = Mapping[TileId, bytes]


@dataclass(frozen=True)
class TilePath:
    """The part of a tile's path behind its level: its number, and its width, which is less than 256 if `.p/` is there.

    1234067 is `x001/x234/067`, and its first 12 hashes are `x001/x234/067.p/12`.
    """

    number: int
    width: int = WIDTH

    @classmethod
    def parse(cls, path: str) -> Self:
        """Raises `ValueError`: each tile has one path only."""
        found = _PATH.fullmatch(path)
        if not found:
            raise ValueError("is no path of a tile")
        number = int(re.sub(r"[x/]", "", path.partition(".")[0]))
        width = int(found[2] or WIDTH)
        if number > MAX_NUMBER or (found[2] and width >= WIDTH):
            raise ValueError("is no path of a tile")
        return cls(number, width)

    @override
    def __str__(self) -> str:
        groups = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        return "/".join(groups) + ("" if self.width == WIDTH else f".p/{self.width}")


def width_at(tile: TileId, size: int) -> int:
    """How many hashes the tile has in a tree of `size` leaves: 0 to 256."""
    return max(0, min(WIDTH, (size >> HEIGHT * tile.level) - tile.number * WIDTH))


def right_edge(size: int) -> list[TileId]:
    """The last tile of each level, if it is partial: the tiles that grow with the next leaves."""
    return [
        TileId(level, hashes // WIDTH)
        for level in range(MAX_LEVEL + 1)
        if (hashes := size >> HEIGHT * level) and hashes % WIDTH
    ]


def needed(ranges: Iterable[Range]) -> set[TileId]:
    """The tiles in which the hashes of these subtrees are."""
    return {_locate(node)[0] for leaves in ranges for node in perfect_subtrees(leaves)}


def hashes_of(ranges: Iterable[Range], tiles: Tiles) -> list[bytes]:
    """The hash of each subtree. `tiles` has those that are `needed`. Raises `TileLost`."""
    return [hash_range(leaves, lambda node: _hash_of(node, tiles)) for leaves in ranges]


def _hash_of(node: Node, tiles: Tiles) -> bytes:
    tile, first, count = _locate(node)
    hashes = tiles.get(tile, b"")[first * HASH_BYTES : (first + count) * HASH_BYTES]
    if len(hashes) < count * HASH_BYTES:
        raise TileLost(*tile)
    return hash_perfect([hashes])


def _locate(node: Node) -> tuple[TileId, int, int]:
    """The tile from which the node's hash follows, the first of its hashes that the node covers, and how many."""
    level, height = divmod(node.level, HEIGHT)
    number, first = divmod(node.number << height, WIDTH)
    return TileId(level, number), first, 1 << height


def split_hashes(hashes: bytes) -> Iterator[bytes]:
    """Hashes that stand one behind the other. Raises `ValueError` if they do not fill their bytes."""
    if len(hashes) % HASH_BYTES:
        raise ValueError("is cut in the middle of a hash")
    return (hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES))


@dataclass(frozen=True)
class Growth:
    """A tree that has grown: its new size and root, and each tile that is new or wider, as it is now."""

    size: int
    root: bytes
    tiles: dict[TileId, bytes]


def grow(size: int, edge: Tiles, leaves: Iterable[bytes]) -> Growth:
    """Add the hashes of leaves to a tree of `size`. `edge` has the tiles of its `right_edge`. Raises `TileLost`."""
    grown: dict[TileId, bytes] = {}
    added, level, before = [*leaves], 0, size
    new_size = size + len(added)
    while added:
        number, kept = divmod(before, WIDTH)
        row = [*split_hashes(edge.get(TileId(level, number), b""))][:kept]
        if len(row) < kept:
            raise TileLost(level, number)
        row += added
        added = []
        for start in range(0, len(row), WIDTH):
            hashes = row[start : start + WIDTH]
            grown[TileId(level, number + start // WIDTH)] = b"".join(hashes)
            if len(hashes) == WIDTH:
                added.append(hash_perfect(hashes))
        before, level = before // WIDTH, level + 1
    return Growth(new_size, root(new_size, {**edge, **grown}), grown)


def root(size: int, tiles: Tiles) -> bytes:
    """The root of a tree of `size` leaves. `tiles` has its `right_edge`."""
    return hashes_of([Range(0, size)], tiles)[0]
