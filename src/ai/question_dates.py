"""The days that a question names with their year.

Small models also invent times where a question names its own: of "before 1 January 2026" one made a period in November.
Other times, such as "last week", are the model's to read.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta

from src.ai import english

_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?"
_DAYS = tuple(
    re.compile(rf"(?<![\w.:/-])(?:{pattern})(?![-.:/]?\w)", re.IGNORECASE)
    for pattern in (
        rf"{_YEAR}-(?P<month>\d\d)-{_DAY}(?:[T ]{_CLOCK})?",
        rf"{_DAY}(?: of)? {_MONTH},? {_YEAR}",
        rf"{_MONTH} {_DAY},? {_YEAR}",
    )
)
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(?::\d\d)?|\d{1,2} ?[ap]\.?m|noon|midnight", re.IGNORECASE)
_OFFSET = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?[+-]\d\d:\d\d")
# Between the same time of day in UTC and in a zone far from it.
_FARTHEST_ZONE = timedelta(hours=14)


def contradicts(text: str, moment: datetime) -> bool:
    """Return whether all times that a question names are days, and a moment is in none of them, nor the end of one.

    Days are in UTC; where the question has a time with an offset, days of all zones count.
    """
    matches = [match for pattern in _DAYS for match in pattern.finditer(text)]
    days = [*map(_day, matches)]
    if not days or None in days or _names_other_time(text, [match.span() for match in matches]):
        return False
    margin = _FARTHEST_ZONE if _OFFSET.search(text) else timedelta()
    starts = [datetime.combine(day, time(), UTC) for day in days if day]
    return not any(start - margin <= moment <= start + timedelta(days=1) + margin for start in starts)


def _day(match: re.Match[str]) -> date | None:
    parts = match.groupdict()
    month = parts.get("month") or english.MONTHS.index(parts["name"][:3].casefold()) + 1
    with suppress(ValueError):
        return date(int(parts["year"]), int(month), int(parts["day"]))
    return None


def _names_other_time(text: str, days: list[tuple[int, int]]) -> bool:
    return any(
        not _TIME_OF_DAY.fullmatch(match[0])
        and not any(start <= match.start() and match.end() <= end for start, end in days)
        for match in english.TIMES.finditer(text)
    )
