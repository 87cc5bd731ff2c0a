"""Makes a filter of what a model says a question asks for.

A value that cannot be used, or that the question does not ask for, is no reason to refuse the rest: it is left out and
named, as are words of the question for which the filter has no condition. So no condition is lost in silence, and
none runs that a model invented. All texts are the question's own words or fixed ones, and never the model's.
"""

import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from src.ai import english
from src.ai.answer_times import parse_time
from src.ai.answer_values import (
    UNUSABLE,
    Unusable,
    items,
    keys_of,
    parse_details,
    scalars_of,
    single_text,
    text_of,
)
from src.ai.constants import MAX_UNSUPPORTED
from src.ai.filter_remarks import Remarks
from src.ai.question_dates import contradicts
from src.ai.question_orders import start_of_orders
from src.ai.question_times import is_one_period
from src.ai.question_words import GAP, Question, is_id
from src.audits.constants import PREFIX_MARK, ActorType, AuditStatus
from src.audits.schemas import AuditFilter

UNSUPPORTED = "unsupported"
NOT_ASKED_FOR = "the question does not ask for the model's value"

_IDS = ("entity_id", "actor_id", "correlation_id", "source", "event_id")
_OTHERS = ("actor_type", "status", "occurred_from", "occurred_to", "details")
# The field whose words a model also puts into this one. If it was read before, it has them.
_SAME_WORDS = {"action": "entity_type", "entity_type": "actor_type"}
# In questions that are not English a name of an action may be a translation, but no sentence.
_TRANSLATION = re.compile(r"[a-z][a-z0-9]{0,31}(?:[._:-][a-z0-9]{1,32}){0,3}(?:[._:-]\*)?")
_IS_WORD = re.compile(r"[^\W\d_]+")
_IS_NAME = re.compile(r"\w[._:/-]")
# Of the present time that the model was told, and copies.
_SAME_TIME = timedelta(minutes=1)
_LONGEST_ORDER = 100


@dataclass(frozen=True)
class Interpretation:
    """`unsupported`: the words of the question, and the fields, that are not in the filter."""

    filter: AuditFilter
    unsupported: list[str]


def interpret(
    answer: Mapping[str, Any], question: str, now: datetime, examples: Collection[str] = ()
) -> Interpretation:
    """Make a filter of the object that the model has answered, and compare it with the question.

    `now` is the time that the model was told, `examples` are the actions and types of the examples that it was shown.
    """
    end = start_of_orders(question)
    reader = _Reader(answer, Question(question[:end]), now, examples)
    # A word that another condition stands for is no id, so ids come last; and a thing is not what was done.
    # What the question names by its field comes first: then its words are neither a thing nor what was done.
    for name in dict.fromkeys((*reader.fields_named(), "entity_type", "action", *_OTHERS, *_IDS)):
        reader.read(name, answer.get(name))
    for name in answer.keys() - AuditFilter.model_fields.keys() - {UNSUPPORTED}:
        reader.remarks.note_unknown(answer[name])
    reader.check_times()
    reader.remarks.take_over(answer.get(UNSUPPORTED))
    conditions = {name: reader.conditions[name] for name in AuditFilter.model_fields if name in reader.conditions}
    order = textwrap.shorten(question[end:], _LONGEST_ORDER, placeholder="…")
    return Interpretation(AuditFilter.model_validate(conditions), reader.remarks.texts(order))


class _Redundant(Exception):
    """This value can be left out: another condition has its words, or `remarks` names them as left over."""


class _Reader:
    """Reads the fields of one answer."""

    def __init__(self, answer: Mapping[str, Any], question: Question, now: datetime, examples: Collection[str]) -> None:
        self._answer, self._question, self._now, self._examples = answer, question, now, examples
        self.conditions: dict[str, Any] = {}
        self.remarks = Remarks(question)
        # Where the question has an id, and where it has one that a condition stands for.
        self._mentioned: set[tuple[int, int]] = set()
        self._claimed: set[tuple[int, int]] = set()
        read_id: Callable[[str, Any], Any] = self._read_id
        self._readers = dict.fromkeys(_IDS, read_id) | {
            "action": self._read_alternatives(self._read_name),
            "entity_type": self._read_alternatives(self._read_name),
            "entity_id": self._read_alternatives(read_id),
            "actor_id": self._read_alternatives(read_id),
            "actor_type": lambda _, value: self._read_enumeration(ActorType, value),
            "status": self._read_alternatives(lambda _, value: self._read_enumeration(AuditStatus, value)),
            "occurred_from": self._read_time,
            "occurred_to": self._read_time,
            "details": self._read_details,
        }

    def read(self, name: str, value: Any) -> None:
        """Add the condition, or note why not."""
        if value is None or value == [] or value == {}:
            return
        try:
            found = self._readers[name](name, value)
            AuditFilter.model_validate({name: found})
        except (Unusable, ValidationError) as fault:
            self.remarks.leave_out(name, value, fault.reason if isinstance(fault, Unusable) else UNUSABLE)
        except _Redundant:
            return
        else:
            if found:
                self.conditions[name] = found
                self._question.cover_words(english.NAMES_OF_FIELDS.get(name, ()))

    def _read_id(self, name: str, value: Any) -> str:
        """Return the id as the question writes it. A mention stands for one id only.

        Raises `Unusable` if the question does not name it, `_Redundant` if other conditions have all its mentions.
        """
        text = single_text(value)
        if name == "entity_id" and self._says_other_field():
            raise Unusable(NOT_ASKED_FOR)
        mentions = self._question.mentions(text)
        free = [
            span
            for span in mentions
            if not self._question.has_plain_words(text)
            if span in self._mentioned - self._claimed or self._question.is_free(span)
            if name != "entity_id" or not self._is_of_actor(span)
        ]
        if not free:
            raise _Redundant if mentions else Unusable(NOT_ASKED_FOR)
        self._claimed.add(free[0])
        self._mentioned.update(free)
        self._question.cover(free)
        return self._question.text[slice(*free[0])]

    def fields_named(self) -> list[str]:
        return [field for field, pattern in english.SAYS_FIELD.items() if self._question.matches(pattern)]

    def _says_other_field(self) -> bool:
        """Return whether the question names a field that has no condition: an entity's id may be meant for that one."""
        return any(field not in self.conditions for field in self.fields_named())

    def _names_actor(self, span: tuple[int, int]) -> bool:
        """Return whether this word only says what the actor after it is, as in "user u-17"."""
        return any(0 < mention[0] - span[1] < GAP for mention in self._mentions_of_actors())

    def _is_of_actor(self, span: tuple[int, int]) -> bool:
        """Return whether the model also says that this is the actor, and the word before says so too."""
        return span in self._mentions_of_actors() and self._question.word_before(span) in english.BEFORE_ACTORS

    def _mentions_of_actors(self) -> list[tuple[int, int]]:
        actors = [item for item in items(self._answer.get("actor_id")) if isinstance(item, str)]
        return [span for actor in actors for span in self._question.mentions(actor)]

    def _read_alternatives(self, read: Callable[[str, Any], str]) -> Callable[[str, Any], list[str]]:
        """Return a reader of several values: one that cannot be used is left out, and the others stay."""

        def read_all(name: str, value: Any) -> list[str]:
            return [*dict.fromkeys(self._each(name, value, read))]

        return read_all

    def _each(self, name: str, value: Any, read: Callable[[str, Any], str]) -> Iterator[str]:
        for item in items(value):
            try:
                found = read(name, item)
                AuditFilter.model_validate({name: [found]})
                yield found
            except (Unusable, ValidationError) as fault:
                self.remarks.leave_out(name, item, fault.reason if isinstance(fault, Unusable) else UNUSABLE)
            except _Redundant:
                continue

    def _read_name(self, name: str, value: Any) -> str:
        text = single_text(value)
        spans = self._question.words_of(text.removesuffix(PREFIX_MARK))
        self._check_name(name, text, spans)
        is_redundant = bool(spans) and self._question.are_covered(spans)
        self._question.cover(spans)
        for spelling in (text, re.sub(r"[._:-]?\*$", "", text)):
            # A model may make invoice.update.* of a question's invoice.update.
            if (
                _IS_NAME.search(spelling)
                and not re.search(r"\s", spelling)
                and (spelled := self._question.spelling(spelling))
            ):
                return spelled
        if name == "action" and _IS_NAME.search(text) and self._says_other_field():
            raise Unusable(NOT_ASKED_FOR)
        if name == "entity_type" and spans and all(map(self._names_actor, spans)):
            raise _Redundant
        if is_redundant and not {"details", _SAME_WORDS[name]}.isdisjoint(self.conditions):
            raise _Redundant
        if not spans and self._question.has_in_names(text):
            raise _Redundant
        if not spans and (self._question.is_english or not self._may_be_translation(text)):
            raise Unusable(NOT_ASKED_FOR)
        return text

    def _check_name(self, name: str, text: str, spans: list[tuple[int, int]]) -> None:
        """Raises `Unusable` for what is no name.

        Raises `_Redundant` for a status, for a kind of thing of which the question has only a pattern of actions, and
        for an action that is the kind of a thing.
        """
        if is_id(text) or english.TIMES.fullmatch(text) or (name == "entity_type" and self._says_other_field()):
            raise Unusable(NOT_ASKED_FOR)
        if self._means_status(text) or (name == "entity_type" and spans and all(map(self._question.is_prefix, spans))):
            raise _Redundant
        if name == "action" and spans and all(map(self._question.is_before_id, spans)):
            # The word before an id is what the thing is, or who: it is not what was done.
            self._take_as_type(re.sub(r"[._:-]?\*$", "", text), spans)
            raise _Redundant

    def _means_status(self, text: str) -> bool:
        """Return whether the model says of the same word that it is the status."""
        return text.casefold() in map(str, items(self._answer.get("status"))) and text.casefold() in {*AuditStatus}

    def _take_as_type(self, text: str, spans: list[tuple[int, int]]) -> None:
        """Use the word before an id as the entity's type, unless it says who, or belongs to another field."""
        is_actor = any(english.MEANINGS[kind].fullmatch(text) for kind in ActorType)
        if not is_actor and not self._says_other_field() and _IS_WORD.fullmatch(text):
            self.conditions.setdefault("entity_type", [text])
            self._question.cover(spans)

    def _may_be_translation(self, text: str) -> bool:
        return bool(_TRANSLATION.fullmatch(text)) and text not in self._examples

    def _read_enumeration(self, kind: type[ActorType] | type[AuditStatus], value: Any) -> StrEnum:
        text = single_text(value).casefold()
        member = next((each for each in kind if text == each or english.SPELLINGS[each].fullmatch(text)), None)
        if member is None:
            raise Unusable(UNUSABLE)
        spans = [
            span
            for span in self._question.matches(english.MEANINGS[member])
            if kind is AuditStatus or not self._question.groups_by(span)
        ]
        if not spans and self._question.is_english:
            raise Unusable(NOT_ASKED_FOR)
        if spans and kind is ActorType and self._question.are_covered(spans):
            raise _Redundant
        self._question.cover(spans)
        return member

    def _read_time(self, name: str, value: Any) -> str:
        text = single_text(value)
        moment = parse_time(text, is_end=name == "occurred_to")
        if self._question.is_english and not self._question.matches(english.TIMES):
            # Small models fill in the present time where nobody asks for any.
            raise _Redundant if abs(moment - self._now) < _SAME_TIME else Unusable(NOT_ASKED_FOR)
        if abs(moment - self._now) < _SAME_TIME:
            if name == "occurred_to":
                raise _Redundant
            if not self._question.matches(english.TODAY):
                raise Unusable(NOT_ASKED_FOR)
            moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        elif contradicts(self._question.text, moment, self._now):
            raise Unusable(NOT_ASKED_FOR)
        return moment.isoformat().replace("+00:00", "Z")

    def check_times(self) -> None:
        """Leave out a period that ends before it starts, and one end where the question names the other.

        Cover the question's times if the period is all of them.
        """
        start, end = self.conditions.get("occurred_from"), self.conditions.get("occurred_to")
        if start and end and datetime.fromisoformat(start) >= datetime.fromisoformat(end):
            for name in ("occurred_from", "occurred_to"):
                self.remarks.leave_out(name, self.conditions.pop(name), UNUSABLE)
            return
        matches = self._question.matches
        has_start = matches(english.ONLY_START) or matches(english.NEEDS_START)
        has_end = matches(english.ONLY_END) or matches(english.NEEDS_END)
        if (start and not end and has_end and not has_start) or (end and not start and has_start and not has_end):
            name = "occurred_from" if start else "occurred_to"
            self.remarks.leave_out(name, self.conditions.pop(name), NOT_ASKED_FOR)
            return
        is_whole = (
            (start and end)
            or (start and matches(english.ONLY_START) and not matches(english.NEEDS_END))
            or (end and matches(english.ONLY_END) and not matches(english.NEEDS_START))
        )
        if is_whole and is_one_period(self._question, start, end):
            self._question.cover([*matches(english.TIMES), *matches(english.TIME_HELPERS)])

    def _read_details(self, name: str, value: Any) -> dict[str, Any]:
        """Members that the question does not ask for are left out, and the others stay."""
        members = parse_details(value)
        kept = {}
        for key, item in members.items():
            if self._asks_for(key, item):
                kept[key] = item
            else:
                self.remarks.leave_out(name, {key: item}, NOT_ASKED_FOR)
        return kept

    def _asks_for(self, key: str, value: Any) -> bool:
        if key in AuditFilter.model_fields:
            return False
        keys, scalars = [key, *keys_of(value)], scalars_of(value)
        if not scalars or len(keys) + len(scalars) > MAX_UNSUPPORTED:
            return False
        spans = [self._question.mentions(each) or self._question.words_of(each) for each in keys]
        spans += [self._mentions_scalar(scalar) for scalar in scalars if not isinstance(scalar, bool)]
        if not all(spans):
            return False
        self._question.cover(span for each in spans for span in each)
        return True

    def _mentions_scalar(self, scalar: Any) -> list[tuple[int, int]]:
        texts = [text_of(scalar), f"{scalar:,}" if isinstance(scalar, int | float) else ""]
        return next(filter(None, map(self._question.mentions, texts)), [])
