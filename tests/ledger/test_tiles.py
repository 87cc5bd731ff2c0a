"""Paths of tiles, each of which has one form."""

import pytest

from src.ledger.tiles import MAX_NUMBER, TilePath

# 67, 1234067 and the partial forms are those of https://c2sp.org/tlog-tiles; the last one is the largest.
PATHS = {
    "067": TilePath(67),
    "000": TilePath(0),
    "999": TilePath(999),
    "x001/000": TilePath(1000),
    "x001/x234/067": TilePath(1_234_067),
    "x001/x234/067.p/1": TilePath(1_234_067, 1),
    "x001/x000/000.p/255": TilePath(1_000_000, 255),
    "x036/x028/x797/x018/x963/967": TilePath(MAX_NUMBER),
}
NO_PATHS = [
    *(
        "",
        "0",
        "00",
        "0000",
        "67",
        "x001",
        "001/234",
        "x000/001",
        "x001/234/",
        "/001",
        "x1/000",
        "X001/000",
        "x001/x234",
    ),
    *("000.p/0", "000.p/256", "000.p/01", "000.p/", "000.p", "000p/1", "000.p/1/", "000\n", "\u0660" * 3, "-01"),
    *("x036/x028/x797/x018/x963/968", "x999/x999/x999/x999/x999/x999/999"),
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_names_a_tile(path: str) -> None:
    assert TilePath.parse(path) == PATHS[path]
    assert str(PATHS[path]) == path


@pytest.mark.parametrize("path", NO_PATHS)
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is no path of a tile"):
        TilePath.parse(path)
