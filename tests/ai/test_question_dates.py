"""Which times contradict the days, months and years that a question names."""

from datetime import UTC, datetime

import pytest

from src.ai.question_dates import contradicts

NOW = datetime(2026, 11, 28, 21, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("question", "moment"),
    [
        ("before 1 January 2026", "2026-01-01T00:00:00Z"),
        ("on the 3rd of April 2026", "2026-04-04T00:00:00Z"),
        ("on Apr. 3, 2026", "2026-04-03T00:00:00Z"),
        ("after 10:00 UTC on 15 May 2026", "2026-05-15T10:00:00Z"),
        ("2026-02-01 to 2026-02-28 inclusive", "2026-03-01T00:00:00Z"),
        ("since 2026-07-01T08:00:00Z", "2026-07-01T08:00:00Z"),
        # The day of the offset is not that of UTC.
        ("since 2026-07-01T00:30:00+02:00", "2026-06-30T22:30:00Z"),
        # What else it names is the model's to read, and so is what is no day.
        ("since 1 January 2026 or last week", "2026-11-21T00:00:00Z"),
        ("in January or last week", "2026-11-21T00:00:00Z"),
        ("from January to March 2026", "2026-02-01T00:00:00Z"),
        ("in Q1 2026", "2026-04-01T00:00:00Z"),
        ("in 2026-12", "2027-01-01T00:00:00Z"),
        ("in May of 2026", "2026-05-31T23:59:59Z"),
        ("by the end of 2025", "2026-01-01T00:00:00Z"),
        ("since 2026", "2025-12-31T22:00:00Z"),
        ("in January 2026", "2026-02-02T00:00:00Z"),
        ("in 2026-13", "2026-11-28T00:00:00Z"),
        ("yesterday", "2026-11-27T00:00:00Z"),
        # The model may write an end that is a bare date, and the caller's day may be another.
        ("yesterday", "2026-11-29T00:00:00Z"),
        ("since yesterday 10:00", "2026-11-27T10:00:00Z"),
        ("today", "2026-11-29T00:00:00Z"),
        ("the day before yesterday", "2026-11-26T00:00:00Z"),
        ("on 3 April", "2025-01-01T00:00:00Z"),
        ("on 31 February 2026", "2026-11-28T00:00:00Z"),
        ("invoice INV-2026-01-02", "2026-11-28T00:00:00Z"),
    ],
)
def test_a_time_of_the_days_that_a_question_names_is_right(question: str, moment: str) -> None:
    assert not contradicts(question, datetime.fromisoformat(moment), NOW)


@pytest.mark.parametrize(
    ("question", "moment"),
    [
        ("before 1 January 2026", "2026-11-28T00:00:00Z"),
        ("before 1 January 2026", "2025-12-31T23:59:59Z"),
        ("on April 3rd, 2026", "2026-04-04T00:00:01Z"),
        ("from 2026-02-01 to 2026-02-28", "2026-02-10T00:00:00Z"),
        ("at noon on 15 May 2026", "2026-05-17T12:00:00Z"),
        ("since 2026-07-01T00:30:00+02:00", "2026-06-29T00:00:00Z"),
        ("in January 2026", "1970-01-01T00:00:00Z"),
        ("in January 2026", "2026-02-02T00:00:01Z"),
        ("in Jan, 2026", "2025-12-30T00:00:00Z"),
        ("between January 2026 and March 2026", "2026-02-10T00:00:00Z"),
        ("in 2026-01", "2026-11-28T00:00:00Z"),
        ("in 2025", "2026-11-28T00:00:00Z"),
        ("on 3 April 2026", "2026-04-20T00:00:00Z"),
        ("yesterday", "1970-01-01T00:00:00Z"),
        ("Today", "2999-01-01T00:00:00Z"),
    ],
)
def test_a_time_of_another_day_contradicts_the_question(question: str, moment: str) -> None:
    assert contradicts(question, datetime.fromisoformat(moment), NOW)
