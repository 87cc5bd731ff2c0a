"""`tests/peers/.venv/bin/python tests/peers/browser/picture.py URL FILE`: makes the README's picture of the explorer.

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
    query = urlencode({"q": "action:payment.charge status:failure", "record": _find_corrected(url)})
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 600}, locale="en-GB")
        page.goto(f"{url}/explorer?{query}")
        record = page.get_by_role("complementary", name="Record")
        record.get_by_role("button", name="Recompute in this browser").click()
        expect(record.get_by_text("It holds.")).to_be_visible()
        expect(page.get_by_role("region", name="Actor type").get_by_role("button").first).to_be_visible()
        expect(page.get_by_role("region", name="Histogram").get_by_role("table")).to_be_attached()
        record.get_by_role("heading", name="History").evaluate("(heading) => heading.scrollIntoView()")
        page.mouse.move(640, 5)
        page.screenshot(path=file)
        browser.close()
    if (size := Path(file).stat().st_size) > MAX_BYTES:
        raise SystemExit(f"picture: {file} has {size:,} bytes, and may have {MAX_BYTES:,}")


def _find_corrected(url: str) -> str:
    """The id of the payment that was corrected last."""
    place: dict[str, int] = {}
    while True:
        with urlopen(f"{url}/api/v1/ledger/changes?{urlencode({**_WANTED, **place})}", timeout=10) as answer:
            page = json.load(answer)
        if page["items"]:
            audit_id: str = page["items"][0]["audit_id"]
            return audit_id
        assert page["next_after"] > 0, "no payment was corrected: is it the trail of make seed rows=100000?"
        # A page looks at a part of the ledger.
        place = {"after": page["next_after"]}


if __name__ == "__main__":
    main(*sys.argv[1:])
