"""The words of a question, and which of them a filter's values stand for.

Models invent conditions, and leave out others. A value is used only if the question has its words, and words that no
condition uses are named. Which words mean the same is known for English (`english.py`); of questions in other languages
only names and numbers are compared.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import cached_property
from itertools import islice

from src.ai import english
from src.ai.constants import MAX_UNSUPPORTED

Span = tuple[int, int]

GAP = 3
"""Fewer characters, such as a space and a quote, are between a word and the name that it belongs to."""

_TOKEN = re.compile(r"[^\W_]+(?:[^\w\s,;!?()\[\]{}\"]*\w+)*")
_PARTS = re.compile(r"[^\W\d_]+|\d+")
_CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What names and numbers have, and words have not.
_OF_NAMES = re.compile(r"\d|[^\W_][._:/@#+\\-]+[^\W_]")
_OF_PREFIX = re.compile(r"[._:/-]\*")
_CONTRACTION = re.compile(r"['\u2019](?:s|d|m|ll|re|ve)$")
_PAUSE = re.compile(r"[,;.:!?()]")
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]")
_NAME_GOES_ON_BEFORE = re.compile(r"[A-Za-z0-9_][-./@+#]?$")
_NAME_GOES_ON_AFTER = re.compile(r"[-./@:+#]?[A-Za-z0-9_]")

# What excludes the value that comes next, as no filter can.
_EXCLUDES = re.compile(
    r"(?:\b(?:except|excepting|excluding|without|other than|apart from|besides|außer|ohne|sauf|sans|excepto|salvo|sin)"
    r"(?: [\w-]+){0,2}"
    r"|(?<!could )(?<!can )\b(?:not|nicht|pas)"
    r"(?: (?:done|made|caused|by|from|of|for|on|in|to|the|an?|user|actor|von|durch|par|de)){0,4}"
    r"|\bno|\b(?:is|are|was|were|has|have|did)n['\u2019]t)[\s'\"`]*$",
    re.IGNORECASE,
)
_LONGEST_EXCLUSION = 80
_ID = re.compile(r"[A-Za-z]+-\d[\w-]*")
# Of the name of an action or a kind of thing.
_MOST_PARTS = 12
_MOST_SPANS = 100


class Question:
    """The text of a question, and which of its words are accounted for."""

    def __init__(self, text: str) -> None:
        self.text = unicodedata.normalize("NFC", text)
        self._tokens = [match.span() for match in _TOKEN.finditer(self.text)]
        # For each character, whether something stands for its word.
        self._covered = bytearray(len(self.text))

    @cached_property
    def is_english(self) -> bool:
        """Guessed: it has a long English word, or nothing of another language."""
        words = [word.casefold() for span in self._tokens if not _OF_NAMES.search(word := self._at(span))]
        is_foreign = not "".join(words).isascii() or not english.FOREIGN.isdisjoint(words)
        return not is_foreign or any(len(word) > 3 and english.is_known(word) for word in words)

    @cached_property
    def _months_of_may(self) -> set[Span]:
        """Where the word is the month, and not the verb."""
        return {match.span() for match in english.TIMES.finditer(self.text) if match[0].casefold() == "may"}

    def _at(self, span: Span) -> str:
        return self.text[slice(*span)]

    def mentions(self, value: str) -> list[Span]:
        """Return where the value stands as a whole, in upper or lower case, and is not excluded.

        If it stands there in exactly these letters, other spellings do not count.
        """
        words = unicodedata.normalize("NFC", value).split()
        if not words or len(value) > len(self.text):
            return []
        found = re.finditer(r"\s+".join(map(re.escape, words)), self.text, re.IGNORECASE)
        whole = [match.span() for match in found if self._is_whole(*match.span())]
        exact = [span for span in whole if self._at(span) == value]
        return self._without_excluded(exact or whole)

    def spelling(self, value: str) -> str | None:
        """Return the value as the question writes it; None if it does not, or excludes it. The words are covered."""
        spans = self.mentions(value)
        self.cover(spans)
        return self._at(spans[0]) if spans else None

    def _is_whole(self, start: int, end: int) -> bool:
        """Return whether no name goes on before or after: u-1 is not in u-17, nor 42 in INV-42."""
        before, after = self.text[max(0, start - 2) : start], self.text[end : end + 3]
        if _ASCII_WORD.match(self.text[start]) and _NAME_GOES_ON_BEFORE.search(before):
            return False
        return not (_ASCII_WORD.match(self.text[end - 1]) and _NAME_GOES_ON_AFTER.match(after))

    def _without_excluded(self, spans: Iterable[Span]) -> list[Span]:
        """Look at a bounded number, since a question can have one word a thousand times."""
        return [
            span
            for span in islice(spans, _MOST_SPANS)
            if not _EXCLUDES.search(self.text[max(0, span[0] - _LONGEST_EXCLUSION) : span[0]])
        ]

    def matches(self, pattern: re.Pattern[str]) -> list[Span]:
        """Return where the pattern matches, and is not excluded."""
        return self._without_excluded(match.span() for match in pattern.finditer(self.text))

    def words_of(self, name: str) -> list[Span]:
        """Return the words of the question that mean a name such as `invoice.update`; none unless each word has one.

        Parts of another name are no words: invoice is not asked for where the question has invoice.update.
        """
        found: list[Span] = []
        parts = {*_split(name)}
        if len(parts) > _MOST_PARTS:
            return []
        words = [span for span in self._tokens if self._is_word(span) or self._is_name_of(span, parts)]
        for part in parts:
            spans = self._without_excluded(span for span in words if self._means(span, part))
            if not spans:
                return []
            found += spans
        return found

    def _is_word(self, span: Span) -> bool:
        word = self._at(span)
        return not _OF_NAMES.search(word) and word.casefold() not in english.FIELDS | english.FILLERS

    def has_in_names(self, name: str) -> bool:
        """Return whether each word of this name is a part of one name in the question."""
        parts = {*_split(name)}
        names = [{*_split(self._at(span))} for span in self._tokens if _OF_NAMES.search(self._at(span))]
        return bool(parts) and any(parts <= each for each in names)

    def _is_name_of(self, span: Span, parts: set[str]) -> bool:
        """Return whether a name such as invoice-update has only these parts, and so means invoice.update."""
        name = self._at(span)
        return (
            bool(_OF_NAMES.search(name))
            and not re.search(r"\d", name)
            and all(any(english.is_same_word(own, part) for part in parts) for own in _split(self._at(span)))
        )

    def _means(self, span: Span, word: str) -> bool:
        return any(english.is_same_word(part, word) for part in _split(self._at(span)))

    def quotations(self, text: str) -> list[Span]:
        """Return where the question has the words of this text; marks between them may differ."""
        words = re.findall(r"\w+", unicodedata.normalize("NFC", text))
        if not words or len(text) > 2 * len(self.text):
            return []
        pattern = r"\W+".join(map(re.escape, words))
        found = re.finditer(pattern, self.text, re.IGNORECASE)
        return [match.span() for match in found if self._is_whole(*match.span())]

    def is_before_id(self, span: Span) -> bool:
        """Return whether the next word is an id, so that this one only names its kind, as in "invoice INV-7"."""
        following = next((token for token in self._tokens if token[0] >= span[1]), None)
        return following is not None and following[0] - span[1] < GAP and is_id(self._at(following))

    def is_prefix(self, span: Span) -> bool:
        """Return whether this word begins a pattern of actions, as in "invoice.*"."""
        return bool(_OF_PREFIX.match(self.text, span[1]))

    def groups_by(self, span: Span) -> bool:
        """Return whether records are to be grouped or sorted by this word."""
        return bool(english.GROUPS_BY.search(self.text[max(0, span[0] - _LONGEST_EXCLUSION) : span[0]]))

    def word_before(self, span: Span) -> str:
        """Return the word before, in lower case."""
        return next((self._at(token).casefold() for token in reversed(self._tokens) if token[1] <= span[0]), "")

    def has_plain_words(self, text: str) -> bool:
        """Return whether a text has English words with a known meaning, and so is no name."""
        return self.is_english and any(english.is_known(word) or word in english.FIELDS for word in text.split())

    def are_covered(self, spans: Iterable[Span]) -> bool:
        return all(map(self._is_covered, spans))

    def is_free(self, span: Span) -> bool:
        """Return whether these words say something, and nothing stands for any of them yet."""
        inside = [token for token in self._tokens if token[0] < span[1] and span[0] < token[1]]
        return not any(map(self._is_covered, inside)) and (not inside or any(map(self._says_something, inside)))

    def cover(self, spans: Iterable[Span]) -> None:
        """Note that something of the answer stands for these words."""
        for start, end in spans:
            self._covered[start:end] = bytes([True]) * (end - start)

    def cover_words(self, words: Collection[str]) -> None:
        self.cover(span for span in self._tokens if self._at(span).casefold() in words)

    def left_over(self) -> list[str]:
        """Return the words that nothing stands for; those with only spaces or fillers in between are one text."""
        phrases: list[Span] = []
        joins = False
        for span in self._tokens:
            if self._is_covered(span) or not (self._says_something(span) or self.is_english):
                joins = False
            elif self._says_something(span):
                joins = joins and not _PAUSE.search(self.text[phrases[-1][1] : span[0]])
                start = phrases.pop()[0] if joins else span[0]
                phrases.append((start, span[1]))
                joins = True
        return [self._at(span) for span in phrases[:MAX_UNSUPPORTED]]

    def _is_covered(self, span: Span) -> bool:
        return any(self._covered[slice(*span)])

    def _says_something(self, span: Span) -> bool:
        word = self._at(span)
        stem = _CONTRACTION.sub("", word.casefold())
        if stem == "may":
            return span in self._months_of_may
        return bool(_OF_NAMES.search(word)) or (self.is_english and stem not in english.FILLERS)


def is_id(word: str) -> bool:
    """Return whether a word is like INV-7: no action and no kind of thing has such a name."""
    return bool(_ID.fullmatch(word))


def _split(name: str) -> list[str]:
    return [part.casefold() for part in _PARTS.findall(_CAMEL_CASE.sub(" ", name))]
