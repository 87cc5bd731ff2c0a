"""The days, months and years that a question names.

Small models also invent times where a question names its own: of "before 1 January 2026" one made a period in November.
Other times, such as "last week", are the model's to read.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from src.ai import english

_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?"
# The longest first: a part of a date is none.
_PERIODS = tuple(
    re.compile(rf"(?<![\w.:/-])(?:{pattern})(?![-.:/]?\w)", re.IGNORECASE)
    for pattern in (
        rf"{_YEAR}-(?P<month>\d\d)-{_DAY}(?:[T ]{_CLOCK})?",
        rf"{_DAY}(?: of)? {_MONTH},? {_YEAR}",
        rf"{_MONTH} {_DAY},? {_YEAR}",
        rf"{_YEAR}-(?P<month>\d\d)",
        rf"{_MONTH},? (?:of )?{_YEAR}",
        _YEAR,
        r"(?P<relative>today|yesterday)",
    )
)
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(?::\d\d)?|\d{1,2} ?[ap]\.?m|noon|midnight", re.IGNORECASE)
_OFFSET = re.compile(r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?[+-]\d\d:\d\d")
# Between the same time of day in UTC and in a zone far from it.
_FARTHEST_ZONE = timedelta(hours=14)
_ONE_DAY = timedelta(days=1)


def contradicts(text: str, moment: datetime, now: datetime) -> bool:
    """Return whether all times that a question names are days, months or years, and a moment is in none of them.

    The end of one is in it. Days are in UTC; where the question has a time with an offset, days of all zones count. A
    day on either side of a month, a year, "today" and "yesterday" counts too: they may be those of another zone.
    """
    matches = [*_find(text)]
    if not matches or _names_other_time(text, [match.span() for match in matches]):
        return False
    margin = _FARTHEST_ZONE if _OFFSET.search(text) else timedelta()
    try:
        periods = [_period(match, now) for match in matches]
    except ValueError:
        return False
    return not any(start - margin <= moment <= end + margin for start, end in periods)


def _find(text: str) -> Iterator[re.Match[str]]:
    taken: list[tuple[int, int]] = []
    for pattern in _PERIODS:
        for match in pattern.finditer(text):
            if not any(start < match.end() and match.start() < end for start, end in taken):
                taken.append(match.span())
                yield match


def _period(match: re.Match[str], now: datetime) -> tuple[datetime, datetime]:
    """Raises `ValueError` for a date that does not exist."""
    parts = {name: text for name, text in match.groupdict().items() if text}
    if "relative" in parts:
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        start = today - _ONE_DAY if parts["relative"].casefold() == "yesterday" else today
        return start - _ONE_DAY, start + 2 * _ONE_DAY
    year = int(parts["year"])
    if not parts.keys() & {"name", "month"}:
        return datetime(year, 1, 1, tzinfo=UTC) - _ONE_DAY, datetime(year + 1, 1, 1, tzinfo=UTC) + _ONE_DAY
    month = int(parts["month"]) if "month" in parts else english.MONTHS.index(parts["name"][:3].casefold()) + 1
    start = datetime(year, month, int(parts.get("day", 1)), tzinfo=UTC)
    if "day" in parts:
        return start, start + _ONE_DAY
    return start - _ONE_DAY, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) + _ONE_DAY


def _names_other_time(text: str, periods: list[tuple[int, int]]) -> bool:
    return any(
        not _TIME_OF_DAY.fullmatch(match[0])
        and not any(start <= match.start() and match.end() <= end for start, end in periods)
        for match in english.TIMES.finditer(text)
    )
