"""Whether the times of an English question are one period: a filter has one, and a model may make one of two."""

import re
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from src.ai import english
from src.ai.question_words import Question, Span

_MONTH = f"(?:{'|'.join(english.MONTHS)})"
_KINDS = {
    "month": re.compile(rf"{_MONTH}(?!\w*day)[a-z]*"),
    "weekday": re.compile(r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"),
    "day": re.compile(r"today|yesterday"),
    "date": re.compile(r"\d{4}-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d+"),
    "clock": re.compile(r"\d{1,2}:.*|\d{1,2} ?[ap]\.?m|noon|midnight"),
    "quarter": re.compile(r"q[1-4]"),
    "year": re.compile(r"\d{4}"),
}
# What follows one another, and the most days that each takes.
_SEQUENCES = {
    "month": (english.MONTHS, 31),
    "weekday": (("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1),
    "day": (("yes", "tod"), 1),
    "quarter": (("q1", "q2", "q3", "q4"), 92),
}
# Between the ends of one period; what follows only says when.
_REACHES = re.compile(
    r"(.*)\b(?:to|until|till|through|thru|before|by|ending)\b(.*)|(\s*)[-\u2013\u2014](.*)", re.DOTALL
)
_GOES_ON = re.compile(r"\b(?:and|or)\b\W*\w")
_BETWEEN = re.compile(r"\bbetween\b(?:(?!\band\b)[^.;?!])*$", re.IGNORECASE)
_JOINS = re.compile(r"\W*\b(?:and|or|as well as|plus)\b(.*)|\s*&(.*)", re.DOTALL)
# As in "the 4th and 7th of May" and "May 4 and 7".
_ORDINAL = r"\d{1,2}(?:st|nd|rd|th)?"
_DAYS_OF_MONTH = re.compile(
    rf"(?<!between )(?<!between the )\b{_ORDINAL},? (?:and|or|&) (?:on )?(?:the )?{_ORDINAL} (?:of )?{_MONTH}"
    rf"|(?<!between )\b{_MONTH}[a-z]* {_ORDINAL},? (?:and|or|&) (?:the )?{_ORDINAL}\b(?![:\w])",
    re.IGNORECASE,
)
_AMOUNT = re.compile(r"(?:\d+|a|an|half|few)\s*$")
_WORD = re.compile(r"[\w:.]*\w")
_BESIDE_TIMES = {
    "the",
    "a",
    "an",
    "on",
    "in",
    "at",
    "of",
    "also",
    "again",
    "during",
    "for",
    "from",
    "since",
    "next",
    "what",
}


class _Time(NamedTuple):
    text: str
    kind: str
    span: Span


def is_one_period(question: Question, start: str | None, end: str | None) -> bool:
    """Return whether the question's times are one period, or two that follow one another and make up this one.

    `start` and `end` are those of the filter, in RFC 3339.
    """
    times = [_time(question, span) for span in sorted(question.matches(english.TIMES))]
    if _DAYS_OF_MONTH.search(question.text):
        return False
    joined = [pair for pair in pairwise(times) if _are_joined(question, *pair)]
    for kind in _KINDS:
        same = [time for time in times if time.kind == kind]
        if any(pair not in joined and _are_apart(question, *pair) for pair in pairwise(same)):
            return False
    if not joined or not (start and end):
        return not joined
    length = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return len(joined) == 1 and _follow_one_another(*joined[0], length)


def _time(question: Question, span: Span) -> _Time:
    text = question.text[slice(*span)].casefold()
    return _Time(text, next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(text)), ""), span)


def _are_apart(question: Question, one: _Time, other: _Time) -> bool:
    """Return whether two times of one kind are neither the same nor the ends of one period."""
    length = 3 if one.kind == "month" else None
    return one.text[:length] != other.text[:length] and not _are_ends(question, one, other)


def _are_joined(question: Question, one: _Time, other: _Time) -> bool:
    """Return whether "and" joins two times, of any kind, that are not the ends of one period."""
    joined = _JOINS.fullmatch(_gap(question, one, other))
    if not joined or _are_ends(question, one, other):
        return False
    said = joined[1] or joined[2] or ""
    is_sum = not one.kind and not other.kind and _AMOUNT.search(said)
    return _only_says_when(said) and not is_sum


def _are_ends(question: Question, one: _Time, other: _Time) -> bool:
    reaches = _REACHES.fullmatch(_gap(question, one, other))
    if reaches and not _GOES_ON.search(reaches[1] or "") and _only_says_when(reaches[2] or reaches[4] or ""):
        return True
    return bool(_BETWEEN.search(question.text[: one.span[0]]))


def _gap(question: Question, one: _Time, other: _Time) -> str:
    return question.text[one.span[1] : other.span[0]].casefold()


def _only_says_when(text: str) -> bool:
    return all(
        word.isdigit()
        or word in _BESIDE_TIMES
        or word in _SEQUENCES["weekday"][0]
        or english.TIMES.fullmatch(word)
        or english.TIME_HELPERS.fullmatch(word)
        or _KINDS["month"].fullmatch(word)
        for word in _WORD.findall(text)
    )


def _follow_one_another(one: _Time, other: _Time, length: timedelta) -> bool:
    if one.kind != other.kind or one.kind not in _SEQUENCES:
        return False
    sequence, days = _SEQUENCES[one.kind]
    size = 2 if one.kind == "quarter" else 3
    first, second = sequence.index(one.text[:size]), sequence.index(other.text[:size])
    return (second - first) % len(sequence) in (1, len(sequence) - 1) and days < length / timedelta(days=1) <= 2 * days
