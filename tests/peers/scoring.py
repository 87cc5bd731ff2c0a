"""Questions with known filters, `questions.json`, and how good the filter is that a model made of one.

Each question has `filter`, the conditions that it asks for, and `may`, those that its words allow as well. Where no
filter can express a part, the answer has to name it with one of the words of `unsupported`. `words` has the question's
own words for a condition where these are not its value.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx2

from tests.peers.conftest import FOLDER

QUERY = "/api/v1/ai/audits/query"


class Outcome(StrEnum):
    EXACT = "exact"
    NAMED = "right, with what is left out named"
    EXCESS = "right, with more named than is left out"
    WIDENED = "widened silently"
    WRONG = "wrong"
    FAILED = "failed"


# The filters of these are right.
GOOD = (Outcome.EXACT, Outcome.NAMED, Outcome.EXCESS)


@dataclass(frozen=True)
class Question:
    style: str
    question: str
    filter: Mapping[str, Any]
    may: Mapping[str, Any] = field(default_factory=dict)
    unsupported: tuple[str, ...] = ()
    words: Mapping[str, list[str]] = field(default_factory=dict)

    def names(self, condition: str, said: str) -> bool:
        """Whether `said` names this condition: by its field, its value or the question's words."""
        value = self.filter[condition]
        words = [condition, *self.words.get(condition, ()), *(value if isinstance(value, list) else [])]
        if isinstance(value, dict):
            words += [*value, *value.values()]
        elif isinstance(value, str):
            words.append(value)
        return _any_in(words, said)


def load_questions(now: datetime) -> list[Question]:
    """Put the days around `now` in for `{today}` and `{tomorrow}`."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    text = (FOLDER / "questions.json").read_text()
    for name, day in (("{today}", today), ("{tomorrow}", today + timedelta(days=1))):
        text = text.replace(name, day.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return [Question(**each) for each in json.loads(text)]


async def ask(client: httpx2.AsyncClient, question: Question) -> tuple[Outcome, httpx2.Response]:
    answer = await client.post(QUERY, json={"question": question.question, "dry_run": True})
    return judge(question, answer), answer


def judge(question: Question, answer: httpx2.Response) -> Outcome:
    if answer.status_code != 200:
        return Outcome.FAILED
    body = answer.json()
    made = {name: value for name, value in body["filter"].items() if value}
    said = " ".join(body["unsupported"])
    left_out = {
        name for name, value in question.filter.items() if name not in made or _is_wider(name, made[name], value)
    }
    unnamed = [name for name in left_out if not question.names(name, said)]
    # The words of a condition that has gone into another field narrow the answer there.
    moved = [name for name in unnamed if question.names(name, json.dumps([*made.values()]))]
    if len(moved) < len(unnamed) or (question.unsupported and not _any_in(question.unsupported, said)):
        return Outcome.WIDENED
    wanted = {**question.may, **question.filter}
    if moved or any(not _is_same(value, wanted.get(name)) for name, value in made.items() if name not in left_out):
        return Outcome.WRONG
    if left_out or question.unsupported:
        return Outcome.NAMED if left_out else Outcome.EXACT
    return Outcome.EXCESS if said else Outcome.EXACT


def table(outcomes: Iterable[tuple[Question, Outcome]]) -> str:
    """How many questions of each style had each outcome."""
    counts = Counter((question.style, outcome) for question, outcome in outcomes)
    styles = sorted({style for style, _ in counts})
    lines = [f"{'':40} {' '.join(f'{style:>14}' for style in styles)} {'all':>5}"]
    for outcome in Outcome:
        row = [counts[style, outcome] for style in styles]
        lines.append(f"{outcome:40} {' '.join(f'{count:14}' for count in row)} {sum(row):5}")
    return "\n".join(lines)


def now() -> datetime:
    return datetime.now(UTC)


def _is_wider(name: str, made: Any, wanted: Any) -> bool:
    """Whether a condition lets through all that is wanted, and more."""
    match name:
        case "occurred_from":
            return bool(made < wanted)
        case "occurred_to":
            return bool(made > wanted)
        case "action" | "status" | "entity_type" | "entity_id" | "actor_id":
            return not _is_same(made, wanted) and all(any(_covers(each, one) for each in made) for one in wanted)
        case "details":
            return bool(made != wanted and made.items() <= wanted.items())
        case _:
            return made != wanted and _covers(made, wanted)


def _covers(pattern: str, name: str) -> bool:
    return pattern == name or (pattern.endswith("*") and name.startswith(pattern.removesuffix("*")))


def _is_same(made: Any, wanted: Any) -> bool:
    if isinstance(made, list) and isinstance(wanted, list):
        return sorted(made) == sorted(wanted)
    return bool(made == wanted)


def _any_in(words: Iterable[object], said: str) -> bool:
    return any(str(word).casefold() in said.casefold() for word in words)
