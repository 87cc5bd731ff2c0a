"""Measures the explorer and sqladmin in Chromium, and prints the figures as JSON.

`tests/benchmarks/explorer.py` runs it in the environment of the peers.
"""

import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROUNDS = 25
SCROLLED_ROWS = 10_000
_ROW = "[role=row][aria-selected], tbody tr td"
# When the first row was painted: two frames after it is there.
_WATCH = f"""
    const look = () => document.querySelector("{_ROW}")
        ? requestAnimationFrame(() => requestAnimationFrame(() => {{ globalThis.rowsAt = performance.now(); }}))
        : requestAnimationFrame(look);
    look();
"""
_ROWS_AT = "() => globalThis.rowsAt ?? null"
_LOADED_AT = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"
_BYTES = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(({ name }) => !name.includes("/api/")).reduce((sum, each) => sum + each.transferSize, 0)"""
# As one who drags the scroll bar: three screens in each frame, as far as rows are loaded.
_SCROLL = """async (rows) => {
    const grid = document.querySelector("[role=grid]");
    const scroller = grid.closest(".scroller");
    const height = document.querySelector("[role=row][aria-selected]").offsetHeight;
    const frames = [];
    let nodes = 0;
    const begun = performance.now();
    let last = begun;
    while (scroller.scrollTop + scroller.clientHeight < rows * height) {
        scroller.scrollTop += 3 * scroller.clientHeight;
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
        nodes = Math.max(nodes, grid.querySelectorAll("*").length + 1);
        if (now - begun > 60000) break;
    }
    return { milliseconds: performance.now() - begun, frames, nodes, rows: Math.floor(scroller.scrollTop / height) };
}"""


def _at_95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _first_rows(browser: Browser, urls: Mapping[str, str], rounds: int) -> dict[str, dict[str, float]]:
    """The pages take turns. Each round is a browser that has nothing cached, and one visit more with what it has."""
    seen: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in urls}
    for _ in range(rounds):
        for name, url in urls.items():
            context = browser.new_context()
            page = context.new_page()
            page.add_init_script(_WATCH)
            page.goto(url)
            rows_at = _wait(page, _ROWS_AT)
            seen[name]["all"].append(rows_at)
            seen[name]["after_load"].append(max(0.0, rows_at - page.evaluate(_LOADED_AT)))
            page.wait_for_load_state("networkidle")
            seen[name]["bytes"].append(page.evaluate(_BYTES))
            page.goto(url)
            seen[name]["again"].append(_wait(page, _ROWS_AT))
            context.close()
    return {
        name: {
            "first_rows_after_load_p95_ms": _at_95(found["after_load"]),
            "first_rows_p95_ms": _at_95(found["all"]),
            "first_rows_median_ms": statistics.median(found["all"]),
            "first_rows_again_p95_ms": _at_95(found["again"]),
            "first_rows_again_median_ms": statistics.median(found["again"]),
            "kilobytes": statistics.median(found["bytes"]) / 1024,
        }
        for name, found in seen.items()
    }


def _wait(page: Page, expression: str) -> Any:
    page.locator(_ROW).first.wait_for(state="attached")
    while (value := page.evaluate(expression)) is None:
        page.evaluate("() => new Promise(requestAnimationFrame)")
    return value


def _scrolling(browser: Browser, url: str) -> dict[str, float]:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(url)
    page.locator(_ROW).first.wait_for()
    # What the page loads at its beginning is not a part of scrolling.
    page.wait_for_load_state("networkidle")
    found = page.evaluate(_SCROLL, SCROLLED_ROWS)
    return {
        "scroll_ms": found["milliseconds"],
        "frame_p95_ms": _at_95(found["frames"]),
        "longest_frame_ms": max(found["frames"]),
        "nodes": found["nodes"],
        "rows": found["rows"],
    }


def main(chromium: str, explorer: str, other: str) -> None:
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        found = _first_rows(browser, {"explorer": explorer, "other": other}, ROUNDS)
        print(json.dumps({**found, "scrolling": _scrolling(browser, explorer), "chromium": browser.version}))
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
