"""A visit to the explorer: the page, what a reader does on it, and what must not happen meanwhile."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Locator, expect
from playwright.sync_api import Request as PageRequest

AUDITS = "/api/v1/audits"
EVENT = {"action": "invoice.update", "entity_type": "invoice", "entity_id": "INV-1", "actor_id": "u-1"}
_TELL = """addEventListener("securitypolicyviolation", (event) =>
    console.error(`policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`))"""
# The browser's own line for an answer that is an error, which the page shows.
_ANSWERED_WITH_AN_ERROR = "Failed to load resource"


class Visit:
    def __init__(self, context: BrowserContext, url: str, ask: Callable[[str], Any], axe: str) -> None:
        self.context, self.url, self.ask, self.axe = context, url, ask, axe
        self.seen: list[str] = []
        """What must not happen: dialogs, requests to another host, violations of the policy, errors of scripts."""
        self.requests: list[str] = []
        context.add_init_script(_TELL)
        context.on("console", self._on_console)
        context.on("dialog", self._on_dialog)
        context.on("request", self._on_request)
        context.on("weberror", lambda error: self.seen.append(f"error: {error.error}"))
        self.page = context.new_page()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_ANSWERED_WITH_AN_ERROR):
            self.seen.append(f"console: {message.text}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, request: PageRequest) -> None:
        self.requests.append(request.url)
        if not request.url.startswith((f"{self.url}/", "blob:")):
            self.seen.append(f"request: {request.url}")

    def check(self) -> None:
        assert self.seen == []

    def open(self, q: str = "", **parameters: str) -> None:
        """Open the page, and wait until it shows records."""
        self.go(q, **parameters)
        expect(self.rows.first).to_be_visible()

    def go(self, q: str = "", **parameters: str) -> None:
        query = urlencode({"q": q, **parameters} if q else parameters)
        self.page.goto(f"{self.url}/explorer{'?' if query else ''}{query}")

    @property
    def search_box(self) -> Locator:
        return self.page.get_by_role("combobox", name="Search records")

    @property
    def grid(self) -> Locator:
        return self.page.get_by_role("grid", name="Records")

    @property
    def rows(self) -> Locator:
        """Those of records, of which the list has only some at a time."""
        return self.grid.get_by_role("rowgroup").last.get_by_role("row")

    @property
    def chips(self) -> Locator:
        return self.page.get_by_role("list", name="Terms of the search").get_by_role("listitem")

    @property
    def record(self) -> Locator:
        return self.page.get_by_role("complementary", name="Record")

    @property
    def live(self) -> Locator:
        return self.page.get_by_role("button", name=re.compile("^(Live|Connecting)"))

    def follow(self) -> None:
        """Switch Live on, and wait until it follows."""
        self.live.click()
        expect(self.live).to_have_attribute("data-state", "on")

    @property
    def histogram(self) -> Locator:
        return self.page.get_by_role("region", name="Histogram")

    def facet(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    def chip(self, name: str, value: str) -> Locator:
        return self.chips.filter(has_text=name).filter(has_text=value)

    def search(self, q: str) -> None:
        self.search_box.fill(q)
        self.search_box.press("Enter")

    def open_record(self, audit_id: str) -> None:
        self.go(record=audit_id)
        expect(self.record.get_by_role("heading", level=2)).not_to_have_text("Record")

    def records(self, **query: Any) -> list[dict[str, Any]]:
        """What the API lists."""
        items: list[dict[str, Any]] = self.get("", **query)["items"]
        return items

    def get(self, path: str, **query: Any) -> Any:
        return self.ask_api("GET", f"{AUDITS}{path}?{urlencode(query, doseq=True)}")

    def create(self, **fields: Any) -> dict[str, Any]:
        created: dict[str, Any] = self.ask_api("POST", AUDITS, EVENT | fields)
        return created

    def create_many(self, bodies: list[dict[str, Any]]) -> None:
        self.ask_api("POST", f"{AUDITS}/batch", {"items": bodies})

    def correct(self, audit_id: str, **fields: Any) -> None:
        headers = {"X-Actor-Id": "u-4", "X-Change-Reason": "wrong%20status"}
        self.ask_api("PATCH", f"{AUDITS}/{audit_id}", fields, **headers)

    def remove(self, audit_id: str) -> None:
        headers = {"X-Actor-Id": "u-9", "X-Change-Reason": "recorded%20twice"}
        self.ask_api("DELETE", f"{AUDITS}/{audit_id}", **headers)

    def ask_api(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json", **headers}, method=method)
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def wait_until_sealed(self, record: dict[str, Any], version: int) -> None:
        """Wait until the feed has this change."""
        query = {"entity_id": record["entity_id"], "wait": 5, "after": -1}
        while True:
            page = self.ask_api("GET", f"/api/v1/ledger/changes?{urlencode(query)}")
            if any((each["audit_id"], each["version"]) == (record["id"], version) for each in page["items"]):
                return
            assert page["items"], "nothing was sealed in 5 seconds"
            query["after"] = page["items"][-1]["index"]

    @contextmanager
    def without_database(self) -> Iterator[None]:
        self.ask("stop the database")
        try:
            yield
        finally:
            self.ask("start the database")
