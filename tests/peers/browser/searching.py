"""The search box, the URL, the histogram and the facets."""

import json
import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect
from visit import Visit


def shows_the_newest_records_first(visit: Visit) -> None:
    visit.open()
    newest = visit.records(limit=20)
    for position, record in enumerate(newest[:5]):
        expect(visit.rows.nth(position)).to_contain_text(record["action"])
        expect(visit.rows.nth(position)).to_contain_text(record["entity_id"])
        expect(visit.rows.nth(position)).to_contain_text(record["actor_id"])
    expect(visit.grid).to_have_attribute("aria-rowcount", "-1")
    expect(visit.page).to_have_title(re.compile("Audit trail"))


def a_search_is_in_the_url_and_back_and_reload_show_it_again(visit: Visit) -> None:
    visit.open()
    visit.search("action:user.login status:failure")
    expect(visit.chips).to_have_count(3)  # with "Clear all"
    assert parse_qs(urlsplit(visit.page.url).query)["q"] == ["action:user.login status:failure"]
    expected = visit.records(action="user.login", status="failure", limit=5)
    for position, record in enumerate(expected):
        expect(visit.rows.nth(position)).to_contain_text(record["entity_id"])
    visit.rows.nth(1).click()
    expect(visit.record).to_be_visible()
    expect(visit.page).to_have_url(re.compile(expected[1]["id"]))

    visit.page.reload()
    expect(visit.search_box).to_have_value("action:user.login status:failure")
    expect(visit.record).to_contain_text(expected[1]["id"])
    expect(visit.rows.first).to_contain_text(expected[0]["entity_id"])

    visit.page.go_back()
    expect(visit.record).to_be_hidden()
    expect(visit.search_box).to_have_value("action:user.login status:failure")
    visit.page.go_back()
    expect(visit.search_box).to_have_value("")
    expect(visit.chips).to_have_count(0)
    visit.page.go_forward()
    expect(visit.search_box).to_have_value("action:user.login status:failure")


def chips_are_taken_out_one_by_one(visit: Visit) -> None:
    visit.open("action:invoice.* status:success details.tenant:t-1")
    expect(visit.chip("details.tenant", "t-1")).to_be_visible()
    visit.chip("status", "success").get_by_role("button", name="Remove status").click()
    expect(visit.search_box).to_have_value("action:invoice.* details.tenant:t-1")
    expect(visit.rows.first).to_contain_text("invoice.")
    visit.page.get_by_role("button", name="Clear all").click()
    expect(visit.search_box).to_have_value("")


def an_unknown_name_says_so_and_offers_the_right_one(visit: Visit) -> None:
    visit.open()
    visit.search("actr_id:u-1")
    expect(visit.page.get_by_text(re.compile("no field .actr_id"))).to_be_visible()
    visit.page.get_by_role("button", name="actor_id:u-1").click()
    expect(visit.search_box).to_have_value("actor_id:u-1")
    expect(visit.rows.first).to_contain_text("u-1")


def bare_words_are_said_to_be_no_full_text(visit: Visit) -> None:
    visit.open()
    newest = visit.records(entity_type="invoice", limit=1)[0]["entity_id"]
    visit.search(newest)
    expect(visit.page.get_by_text(re.compile("no full text", re.IGNORECASE))).to_be_visible()
    visit.page.get_by_role("button", name=f"entity_id:{newest}").click()
    expect(visit.rows.first).to_contain_text(newest)


def names_and_values_are_suggested(visit: Visit) -> None:
    visit.open()
    visit.search_box.click()
    visit.search_box.press_sequentially("act")
    options = visit.page.get_by_role("listbox", name="Suggestions").get_by_role("option")
    expect(options.first).to_contain_text("action:")
    visit.search_box.press("ArrowDown")
    visit.search_box.press("Enter")
    expect(visit.search_box).to_have_value("action:")
    visit.search_box.press_sequentially("dep")
    expect(options.first).to_contain_text("deploy.")
    visit.search_box.press("ArrowDown")
    visit.search_box.press("Enter")
    expect(visit.search_box).to_have_value(re.compile(r"^action:deploy\.\w+ ?$"))
    visit.search_box.press("Enter")
    expect(visit.rows.first).to_contain_text("deploy.")


def a_facet_becomes_a_filter_of_the_api(visit: Visit) -> None:
    visit.open()
    value = visit.facet("Status").get_by_role("button", name=re.compile("^failure"))
    value.click()
    expect(visit.chip("status", "failure")).to_be_visible()
    expect(value).to_have_attribute("aria-pressed", "true")
    total = visit.get("", status="failure", limit=1)["total"]
    expect(visit.page.get_by_text(re.compile(rf"\b{total:,}\b")).first).to_be_visible()
    expect(visit.rows.first).to_contain_text("failure")
    value.click()
    expect(visit.chips).to_have_count(0)
    visit.facet("Action").get_by_role("button", name=re.compile("^invoice.send")).click()
    expect(visit.chip("action", "invoice.send")).to_be_visible()
    expect(visit.rows.first).to_contain_text("invoice.send")


def a_chosen_value_that_is_not_among_the_commonest_is_in_its_facet(visit: Visit) -> None:
    visit.create(action="seldom.done")
    visit.open("action:seldom.done")
    value = visit.facet("Action").get_by_role("button", name="seldom.done")
    expect(value).to_have_attribute("aria-pressed", "true")
    value.click()
    expect(visit.chips).to_have_count(0)


def facets_count_what_the_filter_finds(visit: Visit) -> None:
    visit.open("entity_type:payment")
    counted = {
        each["value"]: each["count"] for each in visit.get("/facets", field="status", entity_type="payment")["values"]
    }
    assert counted
    for value, count in counted.items():
        expect(
            visit.facet("Status").get_by_role("button", name=re.compile(rf"^{value}\b.*\b{count}\b"))
        ).to_be_visible()


def dragging_over_the_histogram_narrows_the_time(visit: Visit) -> None:
    visit.open("action:user.login")
    chart = visit.histogram.get_by_role("group")
    box = chart.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + box["width"] * 0.5, y)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] * 0.7, y, steps=5)
    visit.page.mouse.up()
    expect(visit.search_box).to_have_value(re.compile(r"^action:user.login since:\S+ until:\S+$"))
    query = parse_qs(urlsplit(visit.page.url).query)["q"][0]
    since, until = re.findall(r"(?:since|until):(\S+)", query)
    expected = visit.records(action="user.login", occurred_from=since, occurred_to=until, limit=1)
    expect(visit.rows.first).to_contain_text(expected[0]["entity_id"])
    visit.page.go_back()
    expect(visit.search_box).to_have_value("action:user.login")


def the_last_bar_narrows_to_the_newest_record(visit: Visit) -> None:
    visit.open("action:user.login")
    newest = str(visit.rows.first.get_attribute("id"))
    for _ in range(3):
        before = visit.search_box.input_value()
        visit.histogram.get_by_role("group").focus()
        visit.page.keyboard.press("End")
        with visit.page.expect_response(re.compile("/histogram")):
            visit.page.keyboard.press("Enter")
        expect(visit.search_box).not_to_have_value(before)
        expect(visit.grid).to_have_attribute("aria-busy", "false")
        expect(visit.histogram).not_to_have_attribute("data-stale", "")
        expect(visit.rows.first).to_have_id(newest)


def escape_takes_a_drag_over_the_histogram_back(visit: Visit) -> None:
    visit.open("action:user.login")
    box = visit.histogram.get_by_role("group").bounding_box()
    assert box
    x, y = box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    visit.page.mouse.move(x + 50, y)
    visit.page.keyboard.press("Escape")
    visit.page.mouse.move(x + 60, y)
    visit.page.mouse.up()
    visit.histogram.get_by_role("group").press("End")  # Whatever the mouse did is done.
    expect(visit.search_box).to_have_value("action:user.login")


def the_histogram_has_a_table_for_those_who_do_not_see_it(visit: Visit) -> None:
    visit.open("status:failure")
    table = visit.histogram.get_by_role("table")
    buckets = visit.get("/histogram", status="failure", buckets=60)["buckets"]
    filled = [bucket for bucket in buckets if bucket["count"]]
    expect(table.get_by_role("row")).to_have_count(len(filled) + 1)
    expect(table.get_by_role("row").nth(1)).to_contain_text(str(filled[0]["count"]))


def the_zone_is_in_the_head_of_the_column_and_in_the_url(visit: Visit) -> None:
    visit.open()
    newest = visit.records(limit=1)[0]["occurred_at"]
    head = visit.grid.get_by_role("columnheader", name=re.compile("^Time"))
    expect(head).to_contain_text("UTC")
    expect(visit.rows.first).to_contain_text(newest[11:19])
    head.get_by_role("button").click()
    expect(visit.page).to_have_url(re.compile("zone=local"))
    expect(head).not_to_contain_text("UTC ")
    expect(visit.rows.first).not_to_contain_text(newest[11:19])


def a_chip_of_a_long_name_can_be_taken_out(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 800})
    name = f"details.{'n' * 200}"
    visit.go(f"{name}:x status:failure")
    visit.page.get_by_role("button", name=f"Remove {name}").click()
    expect(visit.search_box).to_have_value("status:failure")


def a_search_without_a_match_says_what_to_do(visit: Visit) -> None:
    visit.open()
    visit.search("actor_id:nobody since:24h")
    expect(visit.page.get_by_role("heading", name="No record matches")).to_be_visible()
    visit.page.get_by_role("button", name="Show all records").click()
    expect(visit.rows.first).to_be_visible()


def an_export_has_the_filter_of_the_search(visit: Visit) -> None:
    visit.open("action:user.login status:failure")
    visit.page.get_by_role("main").get_by_text("Export", exact=True).click()
    with visit.page.expect_download() as downloaded:
        visit.page.get_by_role("link", name="NDJSON").click()
    lines = downloaded.value.path().read_text().splitlines()
    assert len(lines) == visit.get("", action="user.login", status="failure", limit=1)["total"]
    assert {(json.loads(line)["action"], json.loads(line)["status"]) for line in lines} == {("user.login", "failure")}
