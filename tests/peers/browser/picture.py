"""`tests/peers/.venv/bin/python tests/peers/browser/picture.py URL FILE`: makes the picture of the explorer in the README.

It is for a service with the records of `make seed rows=100000`: the failed payments of the incident, and one of them
that was corrected.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from playwright.sync_api import expect, sync_playwright

MAX_BYTES = 150 * 1000
_WANTED = {"action": "payment.charge", "operation": "update", "order": "desc", "limit": 1}


def main(url: str, file: str) -> None:
    with urlopen(f"{url}/api/v1/ledger/changes?{urlencode(_WANTED)}", timeout=10) as answer:
        (corrected,) = json.load(answer)["items"]
    query = urlencode({"q": "action:payment.charge status:failure", "record": corrected["audit_id"]})
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 760}, locale="en-GB")
        page.goto(f"{url}/explorer?{query}")
        record = page.get_by_role("complementary", name="Record")
        record.get_by_role("button", name="Recompute in this browser").click()
        expect(record.get_by_text("It holds.")).to_be_visible()
        expect(page.get_by_role("region", name="Actor type").get_by_role("button").first).to_be_visible()
        record.get_by_role("heading", name="History").evaluate("(heading) => heading.scrollIntoView()")
        page.mouse.move(640, 5)
        page.screenshot(path=file)
        browser.close()
    if (size := Path(file).stat().st_size) > MAX_BYTES:
        raise SystemExit(f"picture: {file} has {size:,} bytes, and may have {MAX_BYTES:,}")


if __name__ == "__main__":
    main(*sys.argv[1:])
