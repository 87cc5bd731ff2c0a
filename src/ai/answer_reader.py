"""Reads the body of an answer as it arrives: pieces of text, and at the end the whole answer."""

from collections.abc import Callable

from src.ai import provider_schemas
from src.ai.constants import MAX_PROVIDER_BODY_BYTES, MAX_PROVIDER_STREAM_BYTES
from src.ai.event_decoder import BOM, EventDecoder
from src.ai.exceptions import AIInvalidProviderResponse, AIProviderUnavailable, TransientFailure
from src.ai.prompt import Prompt
from src.ai.provider_errors import Headers
from src.ai.provider_schemas import Answer

_END = b"[DONE]"


class AnswerReader:
    """Reads one body: a stream of events, or one JSON document from a server that does not stream.

    `feed` and `finish` raise `AIError`, `TransientFailure`.
    """

    def __init__(self, prompt: Prompt, headers: Headers, take: Callable[[str], None]) -> None:
        """`prompt` is what is answered.

        `take` is called with each piece of the text as it comes, and with an empty one if the model makes progress
        without text.
        """
        self._prompt, self._headers, self._take = prompt, headers, take
        self._decoder = EventDecoder()
        self._start = b""
        self._document: bytearray | None = None
        self._size, self._is_blank, self._has_begun = 0, True, False
        self._text: list[str] = []
        self._refusal: list[str] = []

    @property
    def has_text(self) -> bool:
        """Whether a piece of text has come."""
        return bool(self._text)

    def feed(self, chunk: bytes) -> Answer | None:
        """Return the answer if `chunk` ends it."""
        self._limit_size(len(chunk))
        if self._is_blank:
            chunk, self._start = self._start + chunk, b""
            if BOM.startswith(chunk):
                self._start = chunk
                return None
            # As .NET writes it.
            chunk = chunk.removeprefix(BOM)
        if self._is_blank and (first := chunk.strip()[:1]):
            self._is_blank = False
            # No line of a stream begins like this.
            self._document = bytearray() if first == b"{" else None
        if self._document is not None:
            self._document += chunk
            return None
        for data in self._decoder.feed(chunk):
            if data.startswith(_END):
                return self.finish()
            if answer := self._read_event(data):
                return answer
        return None

    def finish(self) -> Answer:
        """Call this when the body has ended, and `feed` has returned no answer."""
        if self._document is not None:
            return self._end(provider_schemas.parse_answer(bytes(self._document), self._headers))
        # A server may leave out the blank line after its last event.
        for data in self._decoder.feed(b"\n\n"):
            if provider_schemas.is_object(data) and (answer := self._read_event(data)):
                return answer
        if self._has_begun:
            # So a proxy says that it has lost the provider.
            raise broken_off()
        raise provider_schemas.other_api()

    def _limit_size(self, size: int) -> None:
        self._size += size
        if self._size > (MAX_PROVIDER_STREAM_BYTES if self._document is None else MAX_PROVIDER_BODY_BYTES):
            raise AIInvalidProviderResponse("The AI provider's answer is too large.")

    def _read_event(self, data: bytes) -> Answer | None:
        event = provider_schemas.parse_event(data, self._headers)
        self._has_begun = True
        if event is None:
            return None
        if isinstance(event, Answer):
            return self._end(event)
        if event.text:
            (self._refusal if event.is_refusal else self._text).append(event.text)
        self._take(event.text)
        return None

    def _end(self, answer: Answer) -> Answer:
        """Return the answer with all of its text, of which `take` gets what was not streamed.

        Servers differ in what the last event holds: the whole answer, its last piece, or none of it.
        """
        text = _whole("".join(self._text), answer.text)
        refusal = _whole("".join(self._refusal), answer.refusal or "")
        if text is None or refusal is None:
            raise AIInvalidProviderResponse("The AI provider's stream and its end hold different answers.")
        for streamed, whole in ((self._text, text), (self._refusal, refusal)):
            if rest := whole[sum(map(len, streamed)) :]:
                self._take(rest)
        return self._checked(answer.with_text(text, refusal).with_model(self._prompt.model))

    def _checked(self, answer: Answer) -> Answer:
        if answer.status == "completed" and not answer.has_text:
            raise AIInvalidProviderResponse("The AI provider's answer holds no text.")
        if (
            answer.status == "completed"
            and answer.refusal is None
            and answer.usage.output_tokens >= self._prompt.max_output_tokens
        ):
            # Some servers say so of an answer that they have cut.
            return answer.cut()
        return answer


def _whole(streamed: str, last: str) -> str | None:
    """Return the whole text from what was streamed and what the last event holds; None if these do not agree."""
    if last.startswith(streamed):
        return last
    return streamed if streamed.rstrip().endswith(last.strip()) else None


def broken_off() -> TransientFailure:
    return TransientFailure(AIProviderUnavailable("The AI provider broke off its answer. Try again."))
