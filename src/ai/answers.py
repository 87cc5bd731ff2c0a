"""What the provider answers, as a whole or as a stream of events: the part of it that is used here.

https://platform.openai.com/docs/api-reference/responses and .../responses-streaming
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    Tag,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import to_json

from src.ai.exceptions import AIInvalidProviderResponse
from src.ai.failures import Headers, late_failure


class _Received(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def _or_empty(value: Any) -> Any:
    return {} if value is None else value


_Count = Annotated[NonNegativeInt, BeforeValidator(lambda value: 0 if value is None else value)]


class InputDetails(_Received):
    cached_tokens: _Count = 0


class OutputDetails(_Received):
    reasoning_tokens: _Count = 0


class TokenUsage(_Received):
    input_tokens: _Count = 0
    input_tokens_details: Annotated[InputDetails, BeforeValidator(_or_empty)] = InputDetails()
    output_tokens: _Count = 0
    output_tokens_details: Annotated[OutputDetails, BeforeValidator(_or_empty)] = OutputDetails()
    total_tokens: _Count = 0


class OutputText(_Received):
    type: Literal["output_text"]
    text: str


class Refusal(_Received):
    type: Literal["refusal"]
    refusal: str


class Message(_Received):
    type: Literal["message"]
    content: list[Annotated[OutputText | Refusal, Field(discriminator="type")]]


class OtherItem(_Received):
    """What a model puts out on its way to an answer: its reasoning, say."""

    type: str


def _item_tag(value: Any) -> str:
    return "message" if isinstance(value, dict) and value.get("type") == "message" else "other"


Item = Annotated[Annotated[Message, Tag("message")] | Annotated[OtherItem, Tag("other")], Discriminator(_item_tag)]


class IncompleteDetails(_Received):
    reason: str | None = None


class Answer(_Received):
    """A response that the model has ended, or that was cut."""

    id: str = Field(min_length=1)
    model: str
    status: Literal["completed", "incomplete"]
    incomplete_details: Annotated[IncompleteDetails, BeforeValidator(_or_empty)] = IncompleteDetails()
    output: list[Item]
    usage: Annotated[TokenUsage, BeforeValidator(_or_empty)] = TokenUsage()

    @property
    def text(self) -> str:
        return "".join(part.text for part in self._parts() if isinstance(part, OutputText))

    @property
    def refusal(self) -> str | None:
        """The words in which the model refuses, if it does."""
        refusals = [part.refusal for part in self._parts() if isinstance(part, Refusal)]
        return "".join(refusals) if refusals else None

    def _parts(self) -> list[OutputText | Refusal]:
        return [part for item in self.output if isinstance(item, Message) for part in item.content]


class _Failed(_Received):
    status: Literal["failed"]
    error: dict[str, Any] | None = None


_Response = Annotated[Answer | _Failed, Field(discriminator="status")]

_response = TypeAdapter[Answer | _Failed](_Response)


def read_answer(body: bytes, headers: Headers) -> Answer:
    """The answer in the body of a 2xx.

    Raises `AIInvalidProviderResponse`; for a response that failed after it was accepted, what `late_failure` returns.
    """
    try:
        response = _response.validate_json(body)
    except ValidationError:
        raise _not_understood() from None
    return _unless_failed(response, headers)


def _not_understood() -> AIInvalidProviderResponse:
    return AIInvalidProviderResponse("The AI provider did not answer as its API should.")


def _unless_failed(response: Answer | _Failed, headers: Headers) -> Answer:
    if isinstance(response, Answer):
        return response
    raise late_failure(headers, response.error)


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer's text; empty where the model works on, and has nothing to show of it."""

    text: str = ""


class _Text(_Received):
    delta: str


class _Terminal(_Received):
    response: _Response


class _Error(_Received):
    error: dict[str, Any] | None = None
    code: str | None = None


class _Other(_Received):
    type: str


_EVENTS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.completed": "terminal",
    "response.incomplete": "terminal",
    "response.failed": "terminal",
    "error": "error",
}
# They come also while nothing happens.
_HEARTBEATS = ("response.queued", "response.in_progress")


def _event_tag(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return _EVENTS.get(kind, "other") if isinstance(kind, str) else "other"


_event = TypeAdapter[_Text | _Terminal | _Error | _Other](
    Annotated[
        Annotated[_Text, Tag("text")]
        | Annotated[_Terminal, Tag("terminal")]
        | Annotated[_Error, Tag("error")]
        | Annotated[_Other, Tag("other")],
        Discriminator(_event_tag),
    ]
)


def read_event(data: object, headers: Headers) -> Delta | Answer | None:
    """What an event of a stream brings; None for one that shows no progress.

    Raises `AIInvalidProviderResponse`, and what `late_failure` returns.
    """
    try:
        # As text once more: what the SDK has parsed can hold lone surrogates, which no answer of ours can.
        event = _event.validate_json(to_json(data))
    except ValueError:
        raise _not_understood() from None
    match event:
        case _Text():
            return Delta(event.delta)
        case _Terminal():
            return _unless_failed(event.response, headers)
        case _Error():
            raise late_failure(headers, event.error or {"code": event.code})
        case _Other():
            is_progress = event.type.startswith("response.") and event.type not in _HEARTBEATS
            return Delta() if is_progress else None
