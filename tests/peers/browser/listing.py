"""The list: scrolling, the keyboard, and what comes while one looks."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from playwright.sync_api import Route, expect
from visit import EVENT, Visit

MAX_NODES = 400
_COUNT_NODES = "(grid) => grid.querySelectorAll('*').length + 1"
_SCROLL_DOWN = "(grid) => { grid.closest('.scroller').scrollTop += 1e6 }"


def scrolling_loads_what_follows_and_keeps_few_nodes(visit: Visit) -> None:
    visit.open()
    expected = []
    cursor: dict[str, str] = {}
    for _ in range(12):
        page = visit.get("", limit=50, count="none", **cursor)
        expected += page["items"]
        cursor = {"cursor": page["next_cursor"]}
    seen: list[int] = []
    for _ in range(100):
        visit.grid.evaluate(_SCROLL_DOWN)
        last = visit.rows.last
        expect(last).to_be_visible()
        nodes = visit.grid.evaluate(_COUNT_NODES)
        assert nodes <= MAX_NODES, nodes
        index = int(last.get_attribute("aria-rowindex") or 0)
        seen.append(index)
        if index >= len(expected):
            break
    assert seen[-1] >= len(expected), seen
    for row in visit.rows.all():
        position = int(row.get_attribute("aria-rowindex") or 0) - 2
        if position < len(expected):
            expect(row).to_have_id(f"row-{expected[position]['id']}")


def load_more_is_there_beside_scrolling(visit: Visit) -> None:
    visit.open()
    expect(visit.page.get_by_role("button", name="Load more")).to_be_attached()


def everything_by_keyboard_alone(visit: Visit) -> None:
    visit.open()
    newest = visit.records(action="user.login", limit=3)
    keyboard = visit.page.keyboard
    keyboard.press("/")
    expect(visit.search_box).to_be_focused()
    keyboard.type("action:user.login")
    # Once for the suggestions, and once more for the box.
    keyboard.press("Escape")
    keyboard.press("Escape")
    expect(visit.search_box).not_to_be_focused()
    keyboard.press("/")
    keyboard.press("End")
    keyboard.press("Enter")
    expect(visit.chip("action", "user.login")).to_be_visible()
    expect(visit.rows.first).to_have_id(f"row-{newest[0]['id']}")
    keyboard.press("Escape")
    keyboard.press("Escape")
    expect(visit.search_box).not_to_be_focused()

    selected = visit.grid.locator("[role=row][aria-selected=true]")
    keyboard.press("j")
    expect(selected).to_have_id(f"row-{newest[0]['id']}")
    keyboard.press("j")
    expect(selected).to_have_id(f"row-{newest[1]['id']}")
    keyboard.press("j")
    keyboard.press("k")
    expect(selected).to_have_id(f"row-{newest[1]['id']}")
    keyboard.press("Enter")
    expect(visit.record).to_contain_text(newest[1]["id"])
    keyboard.press("Escape")
    expect(visit.record).to_be_hidden()
    expect(selected).to_have_id(f"row-{newest[1]['id']}")
    keyboard.press("k")
    expect(selected).to_have_id(f"row-{newest[0]['id']}")

    keyboard.press("?")
    help_dialog = visit.page.get_by_role("dialog")
    expect(help_dialog).to_be_visible()
    for key in ("/", "j", "k", "Enter", "Esc", "?"):
        expect(help_dialog.locator("kbd").filter(has_text=key).first).to_be_visible()
    keyboard.press("Escape")
    expect(help_dialog).to_be_hidden()


def the_histogram_is_narrowed_by_keys(visit: Visit) -> None:
    visit.open("action:user.login")
    chart = visit.histogram.get_by_role("group")
    expect(chart).to_be_visible()
    for _ in range(60):
        if chart.evaluate("(chart) => chart === document.activeElement"):
            break
        visit.page.keyboard.press("Tab")
    expect(chart).to_be_focused()
    visit.page.keyboard.press("End")
    for _ in range(5):
        visit.page.keyboard.press("Shift+ArrowLeft")
    visit.page.keyboard.press("Enter")
    expect(visit.search_box).to_have_value(re.compile(r"^action:user.login since:\S+ until:\S+$"))


def every_control_is_reached_by_tab_and_shows_it(visit: Visit) -> None:
    visit.open()
    visit.page.evaluate("() => document.activeElement.blur()")
    reached = set()
    for _ in range(120):
        visit.page.keyboard.press("Tab")
        reached.add(
            visit.page.evaluate(
                "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"
            )
        )
        is_shown = visit.page.evaluate("""() => {
            const element = document.activeElement;
            if (element === document.body) return true;
            const style = getComputedStyle(element);
            const parent = getComputedStyle(element.parentElement);
            return [style, parent].some((each) => each.outlineStyle !== "none" || each.boxShadow !== "none");
        }""")
        assert is_shown, visit.page.evaluate("() => document.activeElement.outerHTML")
    assert "Search records" in reached
    assert any(name.startswith("Records over time") for name in reached)
    assert any(name.startswith("success") for name in reached)
    assert any(name.startswith("Records, newest first") for name in reached)


def new_records_appear_while_one_looks(visit: Visit) -> None:
    visit.open("entity_type:gauge") if visit.records(entity_type="gauge", limit=1) else visit.go("entity_type:gauge")
    live = visit.page.get_by_role("button", name=re.compile("^Live"))
    if live.get_attribute("aria-pressed") != "true":
        live.click()
    expect(live).to_have_attribute("aria-pressed", "true")
    record = visit.create(entity_type="gauge", entity_id="G-live", action="gauge.read")
    expect(visit.rows.first).to_have_id(f"row-{record['id']}")
    visit.correct(record["id"], status="failure")
    expect(visit.rows.first).to_contain_text("failure")
    visit.remove(record["id"])
    expect(visit.rows.first).to_contain_text("removed")


def what_comes_while_one_scrolls_waits_and_is_counted(visit: Visit) -> None:
    visit.open("action:invoice.*")
    live = visit.page.get_by_role("button", name=re.compile("^Live"))
    if live.get_attribute("aria-pressed") != "true":
        live.click()
    visit.grid.evaluate("(grid) => { grid.closest('.scroller').scrollTop = 600 }")
    expect(visit.grid.locator("[aria-rowindex='2']")).to_have_count(0)
    before = visit.rows.nth(10).get_attribute("id")
    ids = [visit.create(entity_id=f"INV-live-{n}")["id"] for n in range(2)]
    waiting = visit.page.get_by_role("button", name=re.compile(r"^2 new"))
    expect(waiting).to_be_visible()
    assert visit.rows.nth(10).get_attribute("id") == before
    waiting.click()
    expect(visit.rows.first).to_have_id(f"row-{ids[1]}")
    for audit_id in ids:
        visit.remove(audit_id)


def what_comes_is_put_in_the_order_of_its_time(visit: Visit) -> None:
    kind = _unique("gauge")
    before = visit.create(entity_type=kind, occurred_at="2026-01-31T12:00:00Z")
    visit.open(f"entity_type:{kind}")
    visit.follow()
    later = visit.create(entity_type=kind, occurred_at="2026-01-31T12:00:00.500Z")
    expect(visit.rows).to_have_count(2)
    expect(visit.rows.nth(0)).to_have_id(f"row-{later['id']}")
    expect(visit.rows.nth(1)).to_have_id(f"row-{before['id']}")


def what_moves_up_is_not_counted_as_new(visit: Visit) -> None:
    kind = _hours(visit, 120)
    visit.open(f"entity_type:{kind}")
    visit.follow()
    visit.grid.evaluate("(grid) => { grid.closest('.scroller').scrollTop = 40 }")
    expect(visit.grid.locator("[aria-rowindex='2']")).to_have_count(1)
    for record in visit.records(entity_type=kind, limit=2):
        visit.remove(record["id"])
    expect(visit.rows.filter(has_text="removed")).to_have_count(2)
    visit.create(entity_type=kind)
    expect(visit.page.get_by_role("button", name="1 new", exact=True)).to_be_visible()


def what_is_recorded_late_stands_at_its_time(visit: Visit) -> None:
    kind = _hours(visit, 60)
    visit.open(f"entity_type:{kind}")
    visit.follow()
    visit.grid.evaluate(_SCROLL_DOWN)
    expect(visit.page.get_by_text("No more records.")).to_be_visible()
    late = visit.create(entity_type=kind, entity_id="late", occurred_at="2026-01-01T03:30:00Z")
    visit.create(entity_type=kind, entity_id="earliest", occurred_at="2025-12-31T00:00:00Z")
    visit.create(entity_type=kind, entity_id="newest", occurred_at="2026-02-01T00:00:00Z")
    visit.page.get_by_role("button", name="3 new", exact=True).click()
    expect(visit.page.get_by_text("63 records")).to_be_visible()
    visit.page.get_by_role("button", name="2 new further down").click()
    row = visit.grid.locator("[role=row][aria-selected=true]")
    expect(row).to_have_id(f"row-{late['id']}")
    expect(row).to_be_in_viewport()
    # The head, the newest, and the hours from 59 to 4 stand above it.
    expect(row).to_have_attribute("aria-rowindex", "59")
    visit.page.get_by_role("button", name="1 new further down").click()
    expect(row).to_contain_text("earliest")


def what_is_recorded_late_below_what_was_loaded_comes_with_its_page(visit: Visit) -> None:
    kind = _hours(visit, 60)
    visit.open(f"entity_type:{kind}")
    visit.follow()
    late = visit.create(entity_type=kind, occurred_at="2026-01-01T03:30:00Z")
    expect(visit.page.get_by_text("61 records")).to_be_visible()
    expect(visit.page.get_by_role("button", name="further down")).to_be_hidden()
    visit.grid.evaluate(_SCROLL_DOWN)
    expect(visit.grid.locator(f"[id='row-{late['id']}']")).to_have_attribute("aria-rowindex", "58")


def more_than_a_page_that_comes_at_once_is_all_there(visit: Visit) -> None:
    kind = _unique("batch")
    visit.go(f"entity_type:{kind}")
    visit.follow()
    _hours(visit, 120, kind)
    expect(visit.page.get_by_text("120 records")).to_be_visible()
    for _ in range(100):
        visit.grid.evaluate(_SCROLL_DOWN)
        expect(visit.rows.last).to_be_visible()
        if visit.page.get_by_text("No more records.").is_visible():
            break
    expect(visit.rows.last).to_have_attribute("aria-rowindex", "121")


def what_comes_while_a_search_is_on_its_way_is_not_counted(visit: Visit) -> None:
    old, new = _hours(visit, 60), _hours(visit, 60)
    held: list[Route] = []
    visit.page.clock.install()
    visit.open(f"entity_type:{old}")
    visit.follow()
    visit.grid.evaluate("(grid) => { grid.closest('.scroller').scrollTop = 200 }")
    visit.page.route(f"**/audits?entity_type={new}&limit=50", lambda route: held.append(route))
    visit.search(f"entity_type:{new}")
    known = visit.records(entity_type=old, limit=1)[0]
    visit.correct(known["id"], status="failure")
    expect(visit.grid.locator(f"[id='row-{known['id']}']")).to_contain_text("failure")
    visit.page.clock.fast_forward(1000)
    expect(visit.page.get_by_role("button", name="new")).to_be_hidden()
    held[0].continue_()
    expect(visit.rows.first).to_contain_text(new)
    assert not [url for url in visit.requests if f"entity_type={new}" in url and "count=capped" in url]


def _unique(name: str) -> str:
    return f"{name}-{uuid4().hex}"


def _hours(visit: Visit, count: int, kind: str | None = None) -> str:
    """Record an event for each hour of January, and return their entity type, which nobody else has."""
    kind = kind or _unique("hour")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [(start + timedelta(hours=hour)).isoformat() for hour in range(count)]
    visit.create_many([{**EVENT, "entity_type": kind, "occurred_at": time} for time in times])
    return kind


def corrections_and_removals_are_shown_newest_first(visit: Visit) -> None:
    record = visit.create(entity_id="INV-changed", action="invoice.change")
    visit.correct(record["id"], status="failure")
    visit.open()
    visit.wait_until_sealed(record, 2)
    visit.page.get_by_role("navigation", name="Sections").get_by_text("Changes").click()
    expect(visit.page).to_have_url(re.compile("view=changes"))
    changes = visit.page.get_by_role("main").get_by_role("listitem")
    corrected = changes.filter(has_text="INV-changed").first
    expect(corrected).to_contain_text("u-4")
    expect(corrected).to_contain_text("wrong status")
    visit.remove(record["id"])
    visit.wait_until_sealed(record, 3)
    visit.page.reload()
    removed = changes.filter(has_text="INV-changed").first
    expect(removed).to_contain_text("u-9")
    expect(removed).to_contain_text("recorded twice")


def views_are_saved_and_opened_again(visit: Visit) -> None:
    visit.open("action:user.login status:failure")
    visit.page.get_by_role("banner").get_by_text("Views").click()
    visit.page.get_by_role("textbox", name=re.compile("[Nn]ame")).fill("Failed logins")
    visit.page.get_by_role("button", name=re.compile("^Save")).last.click()
    visit.open()
    visit.page.get_by_role("banner").get_by_text("Views").click()
    visit.page.get_by_role("banner").get_by_text("Failed logins").click()
    expect(visit.search_box).to_have_value("action:user.login status:failure")


def the_first_rows_come_by_one_request_before_the_rest(visit: Visit) -> None:
    visit.open()
    expect(visit.histogram.get_by_role("table")).to_be_attached()
    asked = [url.partition("/explorer/")[2] or url.partition("/api/v1/")[2] for url in visit.requests]
    assert asked.count("audits?limit=50") == 1, asked
    (later,) = [index for index, url in enumerate(asked) if url.endswith("/later.js")]
    assert asked.index("audits?limit=50") < later, asked
    assert all(index > asked.index("audits?limit=50") for index, url in enumerate(asked) if "audits/" in url), asked


def the_keys_of_the_list_do_nothing_where_no_list_is_seen(visit: Visit) -> None:
    visit.open()
    visit.rows.first.click()
    expect(visit.record).to_be_visible()
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("button", name="Changes").click()
    expect(visit.page.get_by_role("heading", name="Changes")).to_be_visible()
    visit.page.evaluate("() => document.activeElement.blur()")
    for key in ("j", "Enter", "l"):
        visit.page.keyboard.press(key)
    visit.page.keyboard.press("/")
    expect(visit.search_box).to_be_focused()
    expect(visit.record).to_be_hidden()
    expect(visit.page.get_by_role("button", name="Live", exact=True)).to_have_attribute("aria-pressed", "false")


def a_view_is_saved_and_removed_by_keyboard(visit: Visit) -> None:
    visit.open("status:failure")
    views = visit.page.get_by_role("button", name="Views")
    views.press("Enter")
    visit.page.get_by_label("Name of the view").fill("What failed")
    visit.page.keyboard.press("Enter")
    remove = visit.page.get_by_role("button", name="Remove the view What failed")
    remove.press("Enter")
    expect(remove).to_be_hidden()
    expect(views).to_be_focused()
    visit.page.keyboard.press("Escape")
    expect(views).to_have_attribute("aria-expanded", "false")


def chart_and_facets_follow_what_comes(visit: Visit) -> None:
    action = f"live.{uuid4().hex}"
    visit.create(action=action)
    visit.page.clock.install()
    visit.open(f"action:{action}")
    visit.page.get_by_role("button", name="Live", exact=True).click()
    expect(visit.page.get_by_role("button", name="Live", exact=True)).to_have_attribute("data-state", "on")
    for count in (2, 3):
        visit.create(action=action)
        expect(visit.rows).to_have_count(count)
    visit.page.clock.fast_forward(20_000)
    expect(visit.facet("Status").get_by_role("button", name="success: 3 records")).to_be_visible()
