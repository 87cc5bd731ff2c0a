"""The question box, where a model makes a search of a question."""

import re

from playwright.sync_api import expect
from visit import Visit


def a_question_becomes_a_search_and_what_no_filter_says_is_said(visit: Visit) -> None:
    visit.open()
    visit.page.get_by_role("button", name="Ask").first.click()
    question = visit.page.get_by_role("textbox", name="Question")
    expect(question).to_be_focused()
    question.fill("Which invoices failed, sorted by amount?")
    question.press("Enter")
    expect(visit.search_box).to_have_value("action:invoice.* status:failure")
    expect(visit.chip("action", "invoice.*")).to_be_visible()
    expect(visit.chip("status", "failure")).to_be_visible()
    expect(visit.page.get_by_role("status").filter(has_text=re.compile("sort"))).to_be_visible()
    expect(visit.page).to_have_url(re.compile("q=action%3Ainvoice"))
    visit.search("status:success")
    expect(visit.page.get_by_role("status").filter(has_text=re.compile("sort"))).to_be_hidden()
