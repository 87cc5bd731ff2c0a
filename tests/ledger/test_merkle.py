"""Hashes and proofs are those of RFC 9162, at every size and from tiles."""

from functools import cache

import pytest

from src.ledger.merkle import EMPTY_ROOT, consistency_proof, hash_leaf, inclusion_proof, is_consistent
from src.ledger.tiles import WIDTH, TileId, Tiles, grow, hashes_of, needed, right_edge, root, width_at
from tests.ledger import rfc9162
from tests.ledger.rfc9162 import SIZES

# The test data of Certificate Transparency's own implementations, and the roots that they agree on, from size 1.
CT_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [rfc9162.leaf(b"%d" % number) for number in range(max(SIZES))]


@cache
def tree_hash(size: int) -> bytes:
    return rfc9162.tree_hash(LEAVES[:size])


@pytest.fixture(scope="module")
def tiles() -> Tiles:
    return grow(0, {}, LEAVES).tiles


def only_needed(tiles: Tiles, wanted: set[TileId], size: int) -> Tiles:
    """The tiles that are wanted, as narrow as they are in a tree of `size`."""
    return {tile: tiles[tile][: 32 * width_at(tile, size)] for tile in wanted}


def test_roots_are_those_of_certificate_transparency() -> None:
    leaves = [hash_leaf(bytes.fromhex(leaf)) for leaf in CT_LEAVES]
    assert grow(0, {}, []).root == EMPTY_ROOT == rfc9162.tree_hash([])
    assert [grow(0, {}, leaves[:size]).root.hex() for size in range(1, 9)] == CT_ROOTS


@pytest.mark.parametrize("size", SIZES)
def test_the_root_of_each_size_follows_from_its_right_edge(tiles: Tiles, size: int) -> None:
    assert root(size, only_needed(tiles, {*right_edge(size)}, size)) == tree_hash(size)


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_proofs_from_tiles_are_accepted(tiles: Tiles, size: int) -> None:
    for index in {0, 1, 127, 128, 254, 255, 256, size // 2, size - 2, size - 1} & {*range(size)}:
        ranges = inclusion_proof(index, size)
        path = hashes_of(ranges, only_needed(tiles, needed(ranges), size))
        assert rfc9162.is_included(LEAVES[index], index, size, path, tree_hash(size))
        assert not rfc9162.is_included(LEAVES[index], index, size, path, tree_hash(max(size - 1, 0)))


@pytest.mark.parametrize("new", SIZES)
def test_consistency_proofs_from_tiles_are_accepted(tiles: Tiles, new: int) -> None:
    for old in {*SIZES, 3, 128, 129, 511, 512, 32_768, 65_535} & {*range(1, new)}:
        ranges = consistency_proof(old, new)
        path = hashes_of(ranges, only_needed(tiles, needed(ranges), new))
        assert rfc9162.is_consistent(old, new, path, tree_hash(old), tree_hash(new))
        assert not rfc9162.is_consistent(old, new, path, tree_hash(old - 1), tree_hash(new))
        assert is_consistent(old, new, path, tree_hash(old), tree_hash(new))


def test_no_tree_is_consistent_with_another_one() -> None:
    for new in range(1, 41):
        tiles = grow(0, {}, LEAVES[:new]).tiles
        for old in range(1, new):
            path = hashes_of(consistency_proof(old, new), tiles)
            roots = tree_hash(old), tree_hash(new)
            assert is_consistent(old, new, path, *roots)
            wrong = [path[:-1], [*path, path[0]], *([*path[:i], bytes(32), *path[i + 1 :]] for i in range(len(path)))]
            assert not any(is_consistent(old, new, each, *roots) for each in wrong)
            assert not is_consistent(old, new, path, bytes(32), roots[1])
            assert not is_consistent(old, new, path, roots[0], bytes(32))


def test_every_small_proof_is_accepted() -> None:
    for new in range(1, 41):
        tiles = grow(0, {}, LEAVES[:new]).tiles
        for old in range(1, new):
            path = hashes_of(consistency_proof(old, new), tiles)
            assert rfc9162.is_consistent(old, new, path, tree_hash(old), tree_hash(new))
        for index in range(new):
            path = hashes_of(inclusion_proof(index, new), tiles)
            assert rfc9162.is_included(LEAVES[index], index, new, path, tree_hash(new))


@pytest.mark.parametrize("size", [1, 2, 300])
def test_a_tree_needs_no_proof_that_it_continues_itself_or_the_empty_tree(size: int) -> None:
    assert consistency_proof(size, size) == consistency_proof(0, size) == []
    assert is_consistent(size, size, [], tree_hash(size), tree_hash(size))
    assert not is_consistent(size, size, [], bytes(32), tree_hash(size))
    assert is_consistent(0, size, [], EMPTY_ROOT, tree_hash(size))


@pytest.mark.parametrize("steps", [(1,), (255, 1, 1), (256, 256), (100, 156, 257, 1), (257, 600)])
def test_a_tree_that_grows_by_and_by_is_the_same(tiles: Tiles, steps: tuple[int, ...]) -> None:
    size, stored = 0, dict[TileId, bytes]()
    for number in range(70_000):
        step = min(steps[number % len(steps)] if size < 600 else 30_000, len(LEAVES) - size)
        edge = {tile: stored[tile] for tile in right_edge(size)}
        grown = grow(size, edge, LEAVES[size : size + step])
        for tile, hashes in grown.tiles.items():
            assert hashes.startswith(stored.get(tile, b""))
        stored |= grown.tiles
        size = grown.size
        if size == len(LEAVES):
            break
        if size <= 600:
            assert grown.root == tree_hash(size)
    assert (stored, grown.root) == (tiles, tree_hash(len(LEAVES)))


@pytest.mark.parametrize(
    ("size", "widths"),
    [
        (1, {(0, 0): 1}),
        (255, {(0, 0): 255}),
        (256, {(0, 0): 256, (1, 0): 1}),
        (257, {(0, 0): 256, (0, 1): 1, (1, 0): 1}),
    ],
)
def test_a_tree_has_these_tiles(size: int, widths: dict[tuple[int, int], int]) -> None:
    tiles = grow(0, {}, LEAVES[:size]).tiles
    assert {tuple(tile): len(hashes) // 32 for tile, hashes in tiles.items()} == widths
    assert all(width_at(TileId(*tile), size) == width for tile, width in widths.items())
    assert not width_at(TileId(0, 2), size)


def test_a_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    assert [width_at(TileId(*tile), 70_000) for tile in [(0, 272), (0, 273), (1, 0), (1, 1), (2, 0), (3, 0)]] == [
        *(WIDTH, 112),
        *(WIDTH, 17),
        1,
        0,
    ]
    assert right_edge(70_000) == [(0, 273), (1, 1), (2, 0)]
