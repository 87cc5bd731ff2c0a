"""Schemas of the provider's answers and of the events of its streams: only the fields that are used here.

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
from src.ai.provider_errors import Headers, error_from_body


class _ProviderModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def _none_to_empty(value: Any) -> Any:
    return {} if value is None else value


_Count = Annotated[NonNegativeInt, BeforeValidator(lambda value: 0 if value is None else value)]


class InputDetails(_ProviderModel):
    cached_tokens: _Count = 0


class OutputDetails(_ProviderModel):
    reasoning_tokens: _Count = 0


class TokenUsage(_ProviderModel):
    input_tokens: _Count = 0
    input_tokens_details: Annotated[InputDetails, BeforeValidator(_none_to_empty)] = InputDetails()
    output_tokens: _Count = 0
    output_tokens_details: Annotated[OutputDetails, BeforeValidator(_none_to_empty)] = OutputDetails()
    total_tokens: _Count = 0


class OutputText(_ProviderModel):
    type: Literal["output_text"]
    text: str


class Refusal(_ProviderModel):
    type: Literal["refusal"]
    refusal: str


class Message(_ProviderModel):
    type: Literal["message"]
    content: list[Annotated[OutputText | Refusal, Field(discriminator="type")]]


class OtherItem(_ProviderModel):
    """Any other output of a model, such as its reasoning."""

    type: str


def _item_kind(value: Any) -> str:
    return "message" if isinstance(value, dict) and value.get("type") == "message" else "other"


Item = Annotated[Annotated[Message, Tag("message")] | Annotated[OtherItem, Tag("other")], Discriminator(_item_kind)]


class IncompleteDetails(_ProviderModel):
    reason: str | None = None


class Answer(_ProviderModel):
    """A response that is complete, or that was cut (`incomplete`)."""

    id: str = Field(min_length=1)
    model: str
    status: Literal["completed", "incomplete"]
    incomplete_details: Annotated[IncompleteDetails, BeforeValidator(_none_to_empty)] = IncompleteDetails()
    output: list[Item]
    usage: Annotated[TokenUsage, BeforeValidator(_none_to_empty)] = TokenUsage()

    @property
    def text(self) -> str:
        return "".join(part.text for part in self._parts() if isinstance(part, OutputText))

    @property
    def refusal(self) -> str | None:
        """The text in which the model refuses; None if it does not refuse."""
        refusals = [part.refusal for part in self._parts() if isinstance(part, Refusal)]
        return "".join(refusals) if refusals else None

    def _parts(self) -> list[OutputText | Refusal]:
        return [part for item in self.output if isinstance(item, Message) for part in item.content]


class _Failed(_ProviderModel):
    status: Literal["failed"]
    error: dict[str, Any] | None = None


_Response = Annotated[Answer | _Failed, Field(discriminator="status")]

_response_adapter = TypeAdapter[Answer | _Failed](_Response)


def parse_answer(body: bytes, headers: Headers) -> Answer:
    """Parse the body of a 2xx.

    Raises `AIInvalidProviderResponse`; if the body says that the response failed, what `error_from_body` returns.
    """
    try:
        response = _response_adapter.validate_json(body)
    except ValidationError:
        raise _invalid_response() from None
    return _answer_or_raise(response, headers)


def _invalid_response() -> AIInvalidProviderResponse:
    return AIInvalidProviderResponse("The AI provider did not answer as its API should.")


def _answer_or_raise(response: Answer | _Failed, headers: Headers) -> Answer:
    if isinstance(response, Answer):
        return response
    raise error_from_body(headers, response.error)


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer's text; empty if the model makes progress without text."""

    text: str = ""


class _Text(_ProviderModel):
    delta: str


class _Terminal(_ProviderModel):
    response: _Response


class _Error(_ProviderModel):
    error: dict[str, Any] | None = None
    code: str | None = None


class _Other(_ProviderModel):
    type: str


_EVENT_KINDS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.completed": "terminal",
    "response.incomplete": "terminal",
    "response.failed": "terminal",
    "error": "error",
}
# The provider also sends these while the model makes no progress.
_HEARTBEATS = ("response.queued", "response.in_progress")


def _event_kind(value: Any) -> str:
    name = value.get("type") if isinstance(value, dict) else None
    return _EVENT_KINDS.get(name, "other") if isinstance(name, str) else "other"


_event_adapter = TypeAdapter[_Text | _Terminal | _Error | _Other](
    Annotated[
        Annotated[_Text, Tag("text")]
        | Annotated[_Terminal, Tag("terminal")]
        | Annotated[_Error, Tag("error")]
        | Annotated[_Other, Tag("other")],
        Discriminator(_event_kind),
    ]
)


def parse_event(data: object, headers: Headers) -> Delta | Answer | None:
    """Parse an event of a stream. Returns None if it shows no progress.

    Raises `AIInvalidProviderResponse`; for an event that is an error, what `error_from_body` returns.
    """
    try:
        # Serialised again, since the SDK's parser lets lone surrogates pass, which our answers cannot hold.
        event = _event_adapter.validate_json(to_json(data))
    except ValueError:
        raise _invalid_response() from None
    match event:
        case _Text():
            return Delta(event.delta)
        case _Terminal():
            return _answer_or_raise(event.response, headers)
        case _Error():
            raise error_from_body(headers, event.error or {"code": event.code})
        case _Other():
            is_progress = event.type.startswith("response.") and event.type not in _HEARTBEATS
            return Delta() if is_progress else None
