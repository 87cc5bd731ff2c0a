"""What the page shows when the service does not answer as it should."""

import json
import re
from collections.abc import Callable

from playwright.sync_api import Route, expect
from visit import Visit


def rows_stay_when_the_database_is_away(visit: Visit) -> None:
    visit.open()
    first = visit.rows.first.get_attribute("id")
    with visit.without_database():
        visit.search("status:failure")
        alert = visit.page.get_by_role("alert").filter(has_text="of the search before")
        expect(alert).to_be_visible()
        expect(alert).to_contain_text("database")
        request_id = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", alert.inner_text())
        assert request_id, alert.inner_text()
        expect(visit.rows.first).to_have_id(str(first))
        expect(visit.page.get_by_role("button", name="Load more")).to_be_disabled()
    alert.get_by_role("button", name="Retry").click()
    expect(visit.rows.first).to_contain_text("failure")
    expect(alert).to_be_hidden()


def a_page_that_opens_without_a_database_says_so_and_recovers(visit: Visit) -> None:
    with visit.without_database():
        visit.go("status:failure")
        alert = visit.page.get_by_role("alert").filter(has_text="request_id").last
        expect(alert).to_be_visible()
        expect(visit.page.get_by_text("the search has failed")).to_be_visible()
    alert.get_by_role("button", name="Retry").click()
    expect(visit.rows.first).to_contain_text("failure")


def chart_and_facets_fail_alone(visit: Visit) -> None:
    def fail(route: Route) -> None:
        problem = {"title": "The service is overloaded", "status": 503, "detail": "Later.", "request_id": "req-of-test"}
        route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(problem))

    visit.page.route(re.compile("/audits/(histogram|facets)"), fail)
    visit.open()
    expect(visit.histogram.get_by_role("alert")).to_contain_text("req-of-test")
    expect(visit.facet("Status").get_by_role("alert")).to_contain_text("The service is overloaded")
    expect(visit.rows.nth(5)).to_be_visible()
    visit.page.unroute_all()
    visit.histogram.get_by_role("button", name="Retry").click()
    expect(visit.histogram.get_by_role("alert")).to_be_hidden()
    expect(visit.histogram.get_by_role("table")).to_be_attached()


def answers_of_something_on_the_way_are_problems_too(visit: Visit) -> None:
    answers = {
        '{"errors": [{"code": 1033, "message": "Tunnel error"}]}': "The service answered 502",
        '{"title": {"en": "Bad gateway"}, "errors": [1], "request_id": [1]}': "The service answered 502",
        "null": "The service answered 502",
        "<html>Bad gateway</html>": "The service answered 502",
    }
    for body, title in answers.items():
        visit.page.route(re.compile(r"/audits\?"), _answer(502, body))
        visit.go("status:failure")
        alert = visit.page.get_by_role("alert").filter(has_text=title)
        expect(alert).to_be_visible()
        visit.page.unroute_all()
        alert.get_by_role("button", name="Retry").click()
        expect(visit.rows.first).to_contain_text("failure")
    visit.page.route(re.compile(r"/audits\?"), _answer(200, "<html>Sign in</html>"))
    visit.go("status:failure")
    expect(visit.page.get_by_role("alert").filter(has_text="a sign-in page")).to_be_visible()


def what_cannot_be_drawn_leaves_the_rest_alone(visit: Visit) -> None:
    visit.page.route(re.compile("/audits/(histogram|facets)"), _answer(200, '{"values": 1, "buckets": [null]}'))
    visit.open()
    expect(visit.page.get_by_role("alert").filter(has_text="The page has failed")).to_have_count(2)
    visit.page.unroute_all()
    visit.search("status:failure")
    expect(visit.rows.first).to_contain_text("failure")
    expect(visit.histogram.get_by_role("table")).to_be_attached()
    expect(visit.facet("Status").get_by_role("button", name=re.compile("^failure"))).to_be_visible()

    audit_id = str(visit.rows.first.get_attribute("id")).removeprefix("row-")
    visit.page.route(re.compile("/history"), _answer(200, '{"items": [{"version": 1, "record": null}]}'))
    visit.go(record=audit_id)
    expect(visit.page.get_by_role("complementary").get_by_role("alert")).to_contain_text("The page has failed")
    expect(visit.rows.first).to_be_visible()


def _answer(status: int, body: str) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status, content_type="application/json", body=body)


def a_slow_answer_is_said_to_be_on_its_way(visit: Visit) -> None:
    visit.open()
    held: list[Route] = []
    visit.page.route(re.compile(r"/audits\?"), lambda route: held.append(route))
    visit.search("status:pending")
    expect(visit.grid).to_have_attribute("aria-busy", "true")
    for route in held:
        route.continue_()
    visit.page.unroute_all(behavior="wait")
    expect(visit.grid).to_have_attribute("aria-busy", "false")
    expect(visit.rows.first).to_contain_text("pending")


def what_comes_live_is_looked_for_again_after_a_failure(visit: Visit) -> None:
    visit.page.clock.install()
    visit.open()
    visit.follow()
    visit.page.clock.fast_forward(1000)
    look = re.compile(r"/audits\?.*count=capped")
    visit.page.route(look, _answer(503, "{}"))
    with visit.page.expect_response(look):
        record = visit.create(entity_id="INV-after-a-failure")
    visit.page.unroute_all(behavior="wait")
    visit.page.clock.fast_forward(5000)
    expect(visit.rows.first).to_have_id(f"row-{record['id']}")


def what_is_no_problem_document_is_a_problem_too(visit: Visit) -> None:
    visit.open()
    visit.page.route(re.compile(r"/audits\?"), lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    visit.search("status:failure")
    expect(visit.page.get_by_role("alert").filter(has_text="502").first).to_be_visible()


def rows_stay_when_the_service_cannot_be_reached(visit: Visit) -> None:
    visit.open()
    first = visit.rows.first.get_attribute("id")
    visit.context.set_offline(True)
    visit.search("status:failure")
    alert = visit.page.get_by_role("alert").filter(has_text="cannot be reached").filter(has_text="of the search before")
    expect(alert).to_be_visible()
    expect(visit.rows.first).to_have_id(str(first))
    visit.context.set_offline(False)
    alert.get_by_role("button", name="Retry").click()
    expect(visit.rows.first).to_contain_text("failure")


def a_part_that_cannot_be_loaded_leaves_the_list(visit: Visit) -> None:
    visit.page.route(re.compile(r"/later\.js$"), lambda route: route.fulfill(status=503, body=""))
    visit.open()
    expect(visit.histogram.get_by_role("alert")).to_contain_text("A part of this page was not loaded")
    expect(visit.rows.nth(5)).to_be_visible()
    visit.page.unroute_all()
    visit.histogram.get_by_role("button", name="Retry").click()
    expect(visit.histogram.get_by_role("table")).to_be_attached()


def a_url_that_cannot_be_read_is_said_to_be_so(visit: Visit) -> None:
    visit.open(record="notauuid", zone="mars")
    alert = visit.page.get_by_role("alert").filter(has_text="A part of this URL cannot be read")
    expect(alert).to_contain_text("record=notauuid is ignored: record is the id of a record")
    expect(alert).to_contain_text("zone=mars is ignored: zone is utc or local")
    visit.search("status:failure")
    expect(visit.rows.first).to_contain_text("failure")
    expect(alert).to_be_hidden()
    visit.go(view="changes", version="last")
    expect(alert).to_contain_text("version=last")
