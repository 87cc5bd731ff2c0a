"""For everyone: axe-core's rules in both themes and at a phone's width, and the weight on the wire."""

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect
from visit import Visit

MAX_BYTES = 60 * 1024
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}


def _findings(visit: Visit, state: str) -> list[str]:
    found: list[dict[str, Any]] = visit.page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{state}: {each['id']} ({each['impact']}): {node['html']}: {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
    ]


def _check_states(visit: Visit) -> None:
    visit.context.add_init_script(path=visit.axe)
    visit.open()
    expect(visit.histogram.get_by_role("table")).to_be_attached()
    findings = _findings(visit, "list")
    filters = visit.page.get_by_role("button", name="Filters")
    if filters.is_visible():
        filters.click()
    expect(visit.facet("Actor type").get_by_role("button").first).to_be_visible()
    findings += _findings(visit, "facets")
    visit.go("actr:1")
    expect(visit.page.get_by_text(re.compile("no field"))).to_be_visible()
    findings += _findings(visit, "unknown name")
    visit.go("actor_id:nobody")
    expect(visit.page.get_by_role("heading", name="No record matches")).to_be_visible()
    findings += _findings(visit, "nothing found")
    corrected = visit.records(action="incident.resolve", limit=1)[0]
    visit.open_record(corrected["id"])
    expect(visit.record.get_by_role("combobox", name="From")).to_be_visible()
    visit.record.get_by_role("button", name="Recompute in this browser").click()
    expect(visit.record).to_contain_text("holds")
    findings += _findings(visit, "record")
    visit.go(view="changes")
    expect(visit.page.get_by_role("main")).to_contain_text("Corrected")
    findings += _findings(visit, "changes")
    visit.open()
    visit.page.keyboard.press("?")
    expect(visit.page.get_by_role("dialog")).to_be_visible()
    findings += _findings(visit, "keys")
    assert not findings, "\n".join(findings)


def axe_finds_nothing_in_the_light(visit: Visit) -> None:
    _check_states(visit)


def axe_finds_nothing_in_the_dark(visit: Visit) -> None:
    assert visit.page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    _check_states(visit)


def axe_finds_nothing_on_a_phone(visit: Visit) -> None:
    _check_states(visit)


def axe_finds_nothing_on_a_phone_in_the_dark(visit: Visit) -> None:
    _check_states(visit)


axe_finds_nothing_in_the_dark.options = {"color_scheme": "dark"}  # type: ignore[attr-defined]
axe_finds_nothing_on_a_phone.options = PHONE  # type: ignore[attr-defined]
axe_finds_nothing_on_a_phone_in_the_dark.options = PHONE | {"color_scheme": "dark"}  # type: ignore[attr-defined]


def a_phone_shows_all_without_scrolling_sideways(visit: Visit) -> None:
    visit.open()
    assert _is_as_wide_as_the_screen(visit.page)
    record = visit.records(action="incident.resolve", limit=1)[0]
    visit.open_record(record["id"])
    assert _is_as_wide_as_the_screen(visit.page)
    close = visit.record.get_by_role("button", name=re.compile("^Close"))
    box = close.bounding_box()
    assert box
    assert min(box["width"], box["height"]) >= 24
    close.click()
    expect(visit.record).to_be_hidden()
    visit.go(view="changes")
    expect(visit.page.get_by_role("main")).to_contain_text("Corrected")
    assert _is_as_wide_as_the_screen(visit.page)


a_phone_shows_all_without_scrolling_sideways.options = PHONE  # type: ignore[attr-defined]


def _is_as_wide_as_the_screen(page: Page) -> bool:
    is_so: bool = page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    return is_so


def text_of_four_times_the_size_needs_no_scrolling_sideways(visit: Visit) -> None:
    """WCAG 2.2, 1.4.10: 1,280 pixels at 400 % are 320."""
    visit.open()
    assert _is_as_wide_as_the_screen(visit.page)
    visit.open_record(visit.records(action="incident.resolve", limit=1)[0]["id"])
    assert _is_as_wide_as_the_screen(visit.page)


text_of_four_times_the_size_needs_no_scrolling_sideways.options = {  # type: ignore[attr-defined]
    "viewport": {"width": 320, "height": 640}
}


def nothing_touches_the_edges_of_the_bar_however_narrow_it_is(visit: Visit) -> None:
    visit.open()
    bar = visit.page.get_by_role("banner")
    outer = bar.bounding_box()
    assert outer
    for part in bar.locator("h1 svg, .bar-end button").all():
        inner = part.bounding_box()
        assert inner
        above, below = inner["y"] - outer["y"], outer["y"] + outer["height"] - inner["y"] - inner["height"]
        assert min(above, below) >= 4, (part.evaluate("(part) => part.outerHTML"), inner, outer)


nothing_touches_the_edges_of_the_bar_however_narrow_it_is.options = {  # type: ignore[attr-defined]
    "viewport": {"width": 320, "height": 640}
}


def no_control_is_cut_on_the_narrowest_screen(visit: Visit) -> None:
    visit.open()
    outside: list[str] = visit.page.evaluate("""() => [...document.querySelectorAll(".bar *, .searches *, .toolbar *")]
        .filter((each) => each.getClientRects().length)
        .filter((each) => {
            const { left, top, right } = each.getBoundingClientRect();
            return left < 0 || top < 0 || right > innerWidth;
        }).map((each) => each.outerHTML.slice(0, 80))""")
    assert outside == []


no_control_is_cut_on_the_narrowest_screen.options = {  # type: ignore[attr-defined]
    "viewport": {"width": 320, "height": 640}
}


def a_row_says_who_did_it_on_a_phone_too(visit: Visit) -> None:
    newest = visit.records(limit=1)[0]
    visit.open()
    expect(visit.rows.first.get_by_text(newest["actor_id"], exact=True).last).to_be_visible()


a_row_says_who_did_it_on_a_phone_too.options = PHONE  # type: ignore[attr-defined]


def the_page_weighs_at_most_60_kb(visit: Visit) -> None:
    session = visit.context.new_cdp_session(visit.page)
    session.send("Network.enable")
    urls: dict[str, str] = {}
    bytes_of: dict[str, float] = {}
    session.on("Network.requestWillBeSent", lambda event: urls.update({event["requestId"]: event["request"]["url"]}))
    session.on(
        "Network.loadingFinished", lambda event: bytes_of.update({event["requestId"]: event["encodedDataLength"]})
    )
    visit.open()
    # What is loaded when one opens a record or another view weighs too.
    visit.open_record(visit.records(limit=1)[0]["id"])
    visit.go(view="changes")
    expect(visit.page.get_by_role("main")).to_contain_text("Corrected")
    weights = {urls[each]: size for each, size in bytes_of.items() if "/api/" not in urlsplit(urls[each]).path}
    largest: dict[str, float] = {}
    for url, size in weights.items():
        largest[url] = max(size, largest.get(url, 0))
    assert len(largest) > 3
    assert sum(largest.values()) <= MAX_BYTES, largest
    assert all(urlsplit(url).path.startswith("/explorer") for url in largest), largest


def motion_is_reduced_for_those_who_ask(visit: Visit) -> None:
    visit.open()
    moving = visit.page.evaluate("""() => [...document.querySelectorAll("*")].filter((each) => {
        const { transitionDuration, animationName } = getComputedStyle(each);
        return animationName !== "none" || transitionDuration.split(",").some((time) => parseFloat(time) > 0.01);
    }).map((each) => each.outerHTML.slice(0, 80))""")
    assert moving == []


motion_is_reduced_for_those_who_ask.options = {"reduced_motion": "reduce"}  # type: ignore[attr-defined]
