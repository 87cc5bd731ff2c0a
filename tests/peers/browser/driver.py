"""Carries out what `tests/peers/test_explorer.py` asks for, in Chromium: one scenario after the other.

It runs in the environment of the peers. Each line of stdin and stdout is a message in JSON: a scenario to carry out,
what a scenario asks the test to do, and how it ended.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright
from visit import Visit

PATIENCE_MS = 10_000
DESKTOP = {"width": 1280, "height": 800}


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def ask(what: str) -> Any:
    """Have the test do something, and wait until it is done."""
    say({"ask": what})
    return json.loads(sys.stdin.readline())


def carry_out(browser: Browser, scenario: str, url: str, axe: str, shots: Path) -> str | None:
    """Returns how it failed."""
    module, _, name = scenario.partition(".")
    function = getattr(importlib.import_module(module), name)
    options = {"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "Europe/Berlin"} | getattr(
        function, "options", {}
    )
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    visit = Visit(context, url, ask, axe)
    try:
        function(visit)
        visit.check()
    except Exception:
        shot = shots / f"{scenario}.png"
        visit.page.screenshot(path=shot)
        return f"{traceback.format_exc()}\n{visit.seen}\nThe page looked so: {shot}"
    finally:
        context.close()
    return None


def main(chromium: str, axe: str, shots: str) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    # Chromium refuses to run as root in its sandbox.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        say({"version": browser.version})
        for line in sys.stdin:
            wanted = json.loads(line)
            say({"failure": carry_out(browser, wanted["scenario"], wanted["url"], axe, Path(shots))})
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
