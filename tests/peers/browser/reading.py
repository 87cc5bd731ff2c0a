"""The open record: details, history, what differs, proof, and what leads on."""

import json
import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Route, expect
from visit import Visit

_TOGGLES = "[aria-expanded=false]"


def a_record_shows_its_details_as_a_tree(visit: Visit) -> None:
    record = visit.create(
        entity_id="INV-tree", details={"tenant": "t-1", "amount": {"from": 100, "to": 120, "steps": [1, {"at": 2}]}}
    )
    visit.open_record(record["id"])
    details = (
        visit.record.get_by_role("region", name="Details")
        .or_(visit.record.locator("section", has_text="Details"))
        .first
    )
    expect(details).to_contain_text("tenant")
    while details.locator(_TOGGLES).count():
        details.locator(_TOGGLES).first.click()
    for text in ("from", "100", "to", "120", "steps", "at"):
        expect(details.get_by_text(text, exact=True).first).to_be_visible()
    visit.remove(record["id"])


def two_versions_are_compared_field_by_field(visit: Visit) -> None:
    record = visit.create(entity_id="INV-compared", details={"amount": {"a/b": 1, "to": 100}, "gone": True})
    visit.correct(record["id"], details={"amount": {"a/b": 2, "to": 100}, "come": "new"})
    visit.correct(record["id"], status="failure")
    visit.open_record(record["id"])
    differences = visit.record.locator(".difference")
    expect(differences).to_have_count(1)
    expect(differences.first).to_contain_text("/status")
    expect(differences.first).to_contain_text("success")
    expect(differences.first).to_contain_text("failure")
    visit.record.get_by_role("combobox", name="From").select_option("1")
    expect(differences).to_have_count(4)
    changed = differences.filter(has_text="/details/amount/a~1b")
    expect(changed).to_contain_text("1")
    expect(changed).to_contain_text("2")
    expect(differences.filter(has_text="/details/gone")).to_contain_text("removed")
    expect(differences.filter(has_text="/details/come")).to_contain_text("added")
    versions = visit.record.get_by_role("listitem").filter(has_text="Version 3").first
    expect(versions).to_contain_text("u-4")
    expect(versions).to_contain_text("wrong status")
    visit.record.get_by_role("button", name="Version 1", exact=True).click()
    expect(visit.record).to_contain_text("not the newest")
    visit.remove(record["id"])


def a_removed_record_is_still_read(visit: Visit) -> None:
    record = visit.create(entity_id="INV-removed")
    visit.remove(record["id"])
    visit.open_record(record["id"])
    expect(visit.record).to_contain_text("removed")
    expect(visit.record).to_contain_text("u-9")
    expect(visit.record).to_contain_text("recorded twice")
    expect(visit.record).to_contain_text("INV-removed")


def the_browser_recomputes_the_proof(visit: Visit) -> None:
    record = visit.create(
        entity_id="INV-proved", details={"n": 1e-7, "big": 10**22, "text": "Grüße 😀", "é": [1, True, None]}
    )
    visit.correct(record["id"], status="failure")
    visit.open_record(record["id"])
    expect(visit.record).to_contain_text("Sealed")
    button = visit.record.get_by_role("button", name="Recompute in this browser")
    button.click()
    expect(visit.record).to_contain_text("holds")
    expect(visit.record).not_to_contain_text("does not hold")
    proof = visit.ask_api("GET", f"/api/v1/ledger/proofs/{record['id']}")
    expect(visit.record).to_contain_text(proof["root"])
    with visit.page.expect_download() as downloaded:
        visit.record.get_by_role("button", name="Download .tlog-proof").click()
    assert proof["tlog_proof"].encode() == downloaded.value.path().read_bytes()


def a_proof_that_was_tampered_with_does_not_hold(visit: Visit) -> None:
    record = visit.create(entity_id="INV-forged", details={"amount": 100})

    def forge(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=re.sub(r'("amount": ?)100', r"\g<1>999", answer.text()))

    visit.page.route(re.compile("/history"), forge)
    visit.open_record(record["id"])
    expect(visit.record).to_contain_text("999")
    visit.record.get_by_role("button", name="Recompute in this browser").click()
    expect(visit.record).to_contain_text("does not hold")


def a_proof_without_its_signature_does_not_hold_for_whoever_has_a_key(visit: Visit) -> None:
    record = visit.records(limit=1)[0]
    visit.open_record(record["id"])
    key = visit.ask_api("GET", "/api/v1/ledger")["keys"][0]
    visit.record.get_by_label("The key that you got in another way").fill(key)

    def strip(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "checkpoint": None, "tlog_proof": None})

    def forget_keys(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "keys": [], "signed": False, "last_checkpoint": None})

    visit.page.route(re.compile("/ledger/proofs/"), strip)
    visit.page.route(re.compile("/ledger$"), forget_keys)
    visit.open_record(record["id"])
    expect(visit.record.get_by_label("The key that you got in another way")).to_have_value(key)
    visit.record.get_by_role("button", name="Recompute in this browser").click()
    expect(visit.record).to_contain_text("It does not hold")


def related_records_are_one_click_away(visit: Visit) -> None:
    record = visit.records(action="payment.charge", limit=1)[0]
    visit.open_record(record["id"])
    for label, wanted in {
        "Same entity": f"entity_type:payment entity_id:{record['entity_id']}",
        "Same correlation": f"correlation_id:{record['correlation_id']}",
    }.items():
        visit.record.get_by_role("button", name=label).click()
        expect(visit.search_box).to_have_value(wanted)
        expect(visit.rows.filter(has_text=record["entity_id"]).first).to_be_visible()
    visit.record.get_by_role("button", name="Same actor, 15 minutes around").click()
    query = parse_qs(urlsplit(visit.page.url).query)["q"][0]
    assert query.startswith("actor_id:billing since:"), query
    expect(visit.rows.first).to_contain_text("billing")


def a_record_is_copied_as_json_curl_and_link(visit: Visit) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    record = visit.records(limit=1)[0]
    visit.open_record(record["id"])

    def copied(label: str) -> str:
        visit.record.get_by_role("button", name=label).click()
        expect(visit.page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
        text: str = visit.page.evaluate("() => navigator.clipboard.readText()")
        return text

    assert json.loads(copied("Copy JSON")) == record
    assert f"{visit.url}/api/v1/audits/{record['id']}" in copied("Copy curl")
    link = copied("Copy link")
    visit.page.goto(link)
    expect(visit.record).to_contain_text(record["id"])


def large_details_open_at_once(visit: Visit) -> None:
    record = visit.records(action="large.record", limit=1)[0]
    visit.open_record(record["id"])
    details = visit.record.locator("section", has_text="Details").first
    expect(details).to_be_visible()
    assert visit.record.evaluate("(panel) => panel.innerText.length") < 20_000
    milliseconds = visit.page.evaluate(
        """async () => {
            const begun = performance.now();
            document.querySelector("aside [aria-expanded=false]")?.click();
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
            return performance.now() - begun;
        }"""
    )
    assert milliseconds < 500, milliseconds


def a_link_to_what_never_was_says_so(visit: Visit) -> None:
    visit.go(record="01a2217c-433a-7668-a05d-9ee02c73f274")
    expect(visit.record).to_contain_text(re.compile("no record has this id", re.IGNORECASE))


def a_version_that_never_was_is_said_not_to_be_there(visit: Visit) -> None:
    record = visit.create(entity_id="INV-often", details={"n": 0})
    for n in range(1, 25):
        visit.correct(record["id"], details={"n": n})
    visit.go(record=record["id"], version="999")
    expect(visit.record).to_contain_text("no version 999")
    visit.go(record=record["id"], version="2")
    expect(visit.record).to_contain_text("What version 2 changed")
    visit.record.get_by_role("button", name="Show version 25").click()
    expect(visit.record).to_contain_text("What version 25 changed")
