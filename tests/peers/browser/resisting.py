"""Records are text that attackers write: none of it runs, leads anywhere, or changes how the rest is read."""

from urllib.parse import urlsplit

from playwright.sync_api import expect
from visit import Visit

_MARKUP = "script:not([src]), iframe, object, embed, img, form[action], style, base, svg image, audio, video, marquee"


def no_hostile_record_runs_or_leads_anywhere(visit: Visit) -> None:
    visit.open()
    _check_page(visit)
    records = visit.records(limit=50)
    assert len(records) > 20
    for record in records:
        visit.open_record(record["id"])
        _open_all(visit)
        _check_page(visit)
        expect(visit.page).to_have_title("Audit trail explorer")
    visit.check()


def hostile_values_become_filters_that_find_them(visit: Visit) -> None:
    for record in visit.records(action="hostile.id", limit=50):
        visit.open_record(record["id"])
        visit.record.get_by_role("button", name="Same entity").click()
        expect(visit.chips.first).to_be_visible()
        expect(visit.rows.first).to_have_id(f"row-{record['id']}")
        visit.page.reload()
        expect(visit.rows.first).to_have_id(f"row-{record['id']}")


def hostile_searches_are_only_text(visit: Visit) -> None:
    visit.open()
    for q in (
        'entity_id:"<img src=x onerror=alert(1)>"',
        "javascript:alert(1)",
        '"><script>alert(1)</script>',
        "__proto__:1",
        "details.__proto__.x:1",
        "constructor:1",
        'actor_id:"',
        "\u202eaction:x",
    ):
        visit.search(q)
        expect(visit.search_box).to_have_value(q.strip())
        _check_page(visit)
        visit.page.reload()
        expect(visit.search_box).to_have_value(q.strip())
        _check_page(visit)


def what_cannot_be_seen_is_shown_as_a_badge(visit: Visit) -> None:
    (record,) = visit.records(action="hostile.bidi", limit=1)
    visit.open("action:hostile.bidi")
    expect(visit.rows.first).to_contain_text("RLO")
    visit.rows.first.click()
    expect(visit.record).to_contain_text("RLO")
    _open_all(visit)
    expect(visit.record).to_contain_text("ZWSP")
    for text in visit.page.evaluate(
        "() => [...document.querySelectorAll('aside bdi, [role=grid] bdi')].map((each) => each.textContent)"
    ):
        assert "\u202e" not in text, text
    assert "\u202e" in record["entity_id"]


def a_long_type_does_not_hide_the_id(visit: Visit) -> None:
    record = visit.create(action="hostile.type", entity_type="t" * 150, entity_id="ID-1")
    visit.open("action:hostile.type")
    for width in (1280, 390):
        visit.page.set_viewport_size({"width": width, "height": 800})
        cell = visit.page.locator(f"#row-{record['id']} .cell-entity")
        frame, text = cell.bounding_box(), cell.get_by_text("ID-1").bounding_box()
        assert frame
        assert text
        assert text["width"] > 20, width
        assert text["x"] + text["width"] <= frame["x"] + frame["width"] + 1, width


def _open_all(visit: Visit) -> None:
    closed = visit.record.locator("[aria-expanded=false]")
    for _ in range(60):
        if not closed.count():
            return
        closed.first.click()


def _check_page(visit: Visit) -> None:
    assert visit.page.locator(_MARKUP).count() == 0
    assert visit.page.evaluate("() => Object.prototype.polluted") is None
    for link in visit.page.locator("[href], [src]").all():
        address = link.evaluate("(each) => String(each.href?.baseVal ?? each.href ?? each.src)")
        assert urlsplit(address)[:2] == urlsplit(visit.url)[:2], address
