"""Schemas of the provider's answers and of the events of its streams: only the fields that are used here.

https://platform.openai.com/docs/api-reference/responses and .../responses-streaming
"""

from typing import Annotated, Any, Literal, NamedTuple

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
from pydantic_core import from_json

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


class OtherPart(_ProviderModel):
    """Any other content of a message."""

    type: str


class OtherItem(_ProviderModel):
    """Any other output of a model, such as its reasoning."""

    type: str


def _kind(*known: str) -> Discriminator:
    """Tell the models of these types from the one of all others, which has the tag `other`."""

    def find(value: Any) -> str:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        return kind if kind in known else "other"

    return Discriminator(find)


Part = Annotated[
    Annotated[OutputText, Tag("output_text")] | Annotated[Refusal, Tag("refusal")] | Annotated[OtherPart, Tag("other")],
    _kind("output_text", "refusal"),
]


class Message(_ProviderModel):
    type: Literal["message"]
    content: list[Part]


Item = Annotated[Annotated[Message, Tag("message")] | Annotated[OtherItem, Tag("other")], _kind("message")]


class IncompleteDetails(_ProviderModel):
    reason: str | None = None


class Answer(_ProviderModel):
    """A response that is complete, or that was cut (`incomplete`)."""

    id: str
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

    @property
    def has_text(self) -> bool:
        """Whether there is a text or a refusal, be it empty."""
        return bool(self._parts())

    def with_text(self, text: str, refusal: str) -> "Answer":
        """Return this answer with this text and refusal, if it has others."""
        if (text, refusal) == (self.text, self.refusal or ""):
            return self
        parts: list[OutputText | Refusal] = [OutputText(type="output_text", text=text)] if text else []
        if refusal:
            parts.append(Refusal(type="refusal", refusal=refusal))
        return self.model_copy(update={"output": [Message(type="message", content=[*parts])]})

    def cut(self) -> "Answer":
        """Return this answer as one that was cut at its limit of tokens."""
        details = IncompleteDetails(reason="max_output_tokens")
        return self.model_copy(update={"status": "incomplete", "incomplete_details": details})

    def _parts(self) -> list[OutputText | Refusal]:
        parts = [part for item in self.output if isinstance(item, Message) for part in item.content]
        return [part for part in parts if not isinstance(part, OtherPart)]


class _Failed(_ProviderModel):
    status: Literal["failed"]
    error: dict[str, Any] | None = None


_Response = Annotated[Answer | _Failed, Field(discriminator="status")]

_response_adapter = TypeAdapter[Answer | _Failed](_Response)


def parse_answer(body: bytes, headers: Headers) -> Answer:
    """Parse the body of a 2xx.

    Raises `AIInvalidProviderResponse`; if the body says that the response failed, what `error_from_body` returns.
    """
    value = _parse_object(body)
    if "status" not in value and (error := value.get("error")):
        raise error_from_body(headers, error)
    return _parse_response(value, headers)


def invalid_response() -> AIInvalidProviderResponse:
    return AIInvalidProviderResponse("The AI provider did not answer as its API should.")


def _parse_object(data: bytes) -> dict[str, Any]:
    """Raises `AIInvalidProviderResponse` for what is no JSON object, or holds a lone surrogate, which is no text."""
    try:
        value = from_json(data)
    except ValueError:
        raise invalid_response() from None
    if not isinstance(value, dict):
        raise invalid_response()
    return value


def _parse_response(value: object, headers: Headers) -> Answer:
    try:
        response = _response_adapter.validate_python(value)
    except ValidationError:
        raise invalid_response() from None
    if isinstance(response, Answer):
        return response
    raise error_from_body(headers, response.error)


class Piece(NamedTuple):
    """The next piece of the answer's text; empty if the model makes progress without text.

    `is_refusal`: it belongs to the words in which the model refuses.
    """

    text: str = ""
    is_refusal: bool = False


_PIECES = {"response.output_text.delta": False, "response.refusal.delta": True}
_ENDS = ("response.completed", "response.incomplete", "response.failed")
# The provider also sends these while the model makes no progress.
_HEARTBEATS = ("response.queued", "response.in_progress")


def parse_event(data: bytes, headers: Headers) -> Piece | Answer | None:
    """Parse an event of a stream. Returns None if it shows no progress.

    Raises `AIInvalidProviderResponse`; for an event that is an error, what `error_from_body` returns.
    """
    event = _parse_object(data)
    kind = event.get("type")
    is_refusal = _PIECES.get(kind) if isinstance(kind, str) else None
    if is_refusal is not None:
        if not isinstance(text := event.get("delta"), str):
            raise invalid_response()
        return Piece(text, is_refusal)
    if kind == "error" or event.get("error"):
        # The `type` of a bare event names the event, and not the error.
        raise error_from_body(headers, event.get("error") or {**event, "type": None})
    if kind in _ENDS:
        return _parse_response(event.get("response"), headers)
    if not isinstance(kind, str):
        raise invalid_response()
    return Piece() if kind.startswith("response.") and kind not in _HEARTBEATS else None
