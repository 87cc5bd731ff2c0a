"""What an answer says of the parts of a question, and of the model's values, that are not in the filter."""

from collections import defaultdict
from typing import Any

from src.ai.answer_values import UNUSABLE, is_empty, items, scalars_of, text_of
from src.ai.constants import MAX_UNSUPPORTED
from src.ai.question_words import Question
from src.audits.schemas import AuditFilter

GENERAL_REMARK = "A part of the question that no filter can express."


class Remarks:
    """Collects remarks on one question."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._notes: dict[str, None] = {}
        self._left_out: defaultdict[str, list[str]] = defaultdict(list)

    def leave_out(self, name: str, value: Any, reason: str) -> None:
        """Note that the field does not have this value, for this reason."""
        words = self._quotations(value) if reason == UNUSABLE else []
        if words:
            self._notes[f"{name}: {', '.join(words)}"] = None
        elif name not in self._left_out[reason]:
            self._left_out[reason].append(name)

    def note_unknown(self, value: Any) -> None:
        """Note the value of a field that no filter has."""
        if is_empty(value) or value in ([], {}):
            return
        self._notes |= dict.fromkeys(self._quotations(value) or [GENERAL_REMARK])

    def take_over(self, value: Any) -> None:
        """Keep entries of the model's list that are words of the question and stand in no condition of the filter."""
        for item in items(value):
            text = item if isinstance(item, str) else ""
            if is_empty(item) or text in AuditFilter.model_fields:
                continue
            spans = self._question.quotations(text)
            if not spans:
                self._notes |= dict.fromkeys([] if self._is_named_anyway(text) else [GENERAL_REMARK])
            elif free := [span for span in spans if self._question.is_free(span)]:
                self._question.cover(free)
                self._notes[self._question.text[slice(*free[0])]] = None

    def _is_named_anyway(self, text: str) -> bool:
        """Return whether the question has each word of an entry in another form: what is left over names it then."""
        return self._question.is_english and bool(self._question.words_of(text))

    def texts(self, order: str) -> list[str]:
        """Return them all; `order`, the beginning of what no value is taken from, is the last."""
        left_out = [f"{', '.join(names)}: {reason}." for reason, names in self._left_out.items()]
        notes = dict.fromkeys(filter(None, [*self._notes, *self._question.left_over(), order]))
        return [*left_out, *notes][:MAX_UNSUPPORTED]

    def _quotations(self, value: Any) -> list[str]:
        """Return which texts and numbers of a value the question has, as it writes them."""
        spans = [
            each[0]
            for scalar in scalars_of(value)[:MAX_UNSUPPORTED]
            if (each := self._question.quotations(text_of(scalar)))
        ]
        self._question.cover(spans)
        return [*dict.fromkeys(self._question.text[slice(*span)] for span in spans)][:MAX_UNSUPPORTED]
