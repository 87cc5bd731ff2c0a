"""Reads times of a model's answer."""

import re
from datetime import UTC, date, datetime, time, timedelta

from src.ai.answer_values import UNUSABLE, Unusable

_PERIOD = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?(?:[Zz]|([+-]\d\d:\d\d))?")
_LAST_SECOND = time(23, 59, 59)


def parse_time(text: str, *, is_end: bool) -> datetime:
    """Return a time; of a day, a month or a year its start, or for `is_end` its end. Raises `Unusable`.

    `occurred_to` is not included in what a filter finds, so a day ends when the next one starts. All is in UTC, unless
    the text names an offset.
    """
    try:
        if period := _PERIOD.fullmatch(text):
            start = date(int(period[1]), int(period[2] or 1), int(period[3] or 1))
            day = _next_start(start, month=bool(period[2]), day=bool(period[3])) if is_end else start
            return datetime.combine(day, time(), UTC)
        if parts := _TIME.fullmatch(text):
            exact = f"{parts[1]}T{parts[2]}{parts[3] or ''}{parts[4] or '+00:00'}"
            moment = datetime.fromisoformat(exact).astimezone(UTC)
            ends_day = is_end and moment.time().replace(microsecond=0) == _LAST_SECOND
            return moment.replace(microsecond=0) + timedelta(seconds=1) if ends_day else moment
    except (ValueError, OverflowError):
        pass
    raise Unusable(UNUSABLE)


def _next_start(start: date, *, month: bool, day: bool) -> date:
    if day:
        return start + timedelta(days=1)
    if month:
        return (start.replace(day=28) + timedelta(days=4)).replace(day=1)
    return start.replace(year=start.year + 1)
