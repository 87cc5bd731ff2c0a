"""Schemas of the provider's answers and of the events of its streams: only the fields that are used here.

https://platform.openai.com/docs/api-reference/responses and .../responses-streaming

Servers that people run themselves differ. What only describes an answer may be missing, null or of another type; but
where a text is expected and something else is there, the answer is refused, so that no text is lost.
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
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import from_json

from src.ai.exceptions import AIInvalidProviderResponse
from src.ai.provider_errors import Headers, error_from_body


class _ProviderModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


def _or_zero(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return 0 if isinstance(value, bool) else validate(value)
    except ValidationError:
        return 0


_Count = Annotated[NonNegativeInt, WrapValidator(_or_zero)]
_Name = Annotated[str, BeforeValidator(lambda value: value if isinstance(value, str) else "")]
_OR_EMPTY = BeforeValidator(lambda value: value if isinstance(value, dict | BaseModel) else {})


class InputDetails(_ProviderModel):
    cached_tokens: _Count = 0


class OutputDetails(_ProviderModel):
    reasoning_tokens: _Count = 0


class TokenUsage(_ProviderModel):
    input_tokens: _Count = 0
    input_tokens_details: Annotated[InputDetails, _OR_EMPTY] = InputDetails()
    output_tokens: _Count = 0
    output_tokens_details: Annotated[OutputDetails, _OR_EMPTY] = OutputDetails()
    total_tokens: _Count = 0


class OutputText(_ProviderModel):
    type: Literal["output_text", "text"]
    text: str


class Refusal(_ProviderModel):
    type: Literal["refusal"]
    refusal: str


class OtherPart(_ProviderModel):
    """Any other content of a message."""


class OtherItem(_ProviderModel):
    """Any other output of a model, such as its reasoning."""


def _content(**fields: str) -> Discriminator:
    """Choose the model of an item by the field that holds its content. `fields` has that field for each `type`.

    The tag is the field, or `other`: another type, or a content that is null.
    """

    def find(value: Any) -> str:
        data = value if isinstance(value, dict) else vars(value) if isinstance(value, BaseModel) else {}
        kind = data.get("type")
        field = fields.get(kind) if isinstance(kind, str) else None
        return field if field and data.get(field, "") is not None else "other"

    return Discriminator(find)


Part = Annotated[
    Annotated[OutputText, Tag("text")] | Annotated[Refusal, Tag("refusal")] | Annotated[OtherPart, Tag("other")],
    _content(output_text="text", text="text", refusal="refusal"),
]


def _text_to_parts(content: Any) -> Any:
    return [{"type": "output_text", "text": content}] if isinstance(content, str) else content


class Message(_ProviderModel):
    type: Literal["message"]
    content: Annotated[list[Part], BeforeValidator(_text_to_parts)] = []


Item = Annotated[
    Annotated[Message, Tag("content")] | Annotated[OtherItem, Tag("other")],
    _content(message="content"),
]


class IncompleteDetails(_ProviderModel):
    reason: _Name = ""


class Answer(_ProviderModel):
    """A response that is complete, or that was cut (`incomplete`). `model` may be empty."""

    id: _Name = ""
    model: _Name = ""
    status: Literal["completed", "incomplete"]
    incomplete_details: Annotated[IncompleteDetails, _OR_EMPTY] = IncompleteDetails()
    output: Annotated[list[Item], BeforeValidator(lambda value: [] if value is None else value)] = []
    usage: Annotated[TokenUsage, _OR_EMPTY] = TokenUsage()

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

    def with_model(self, model: str) -> "Answer":
        """Return this answer as one of this model, if it names none."""
        return self if self.model else self.model_copy(update={"model": model})

    def cut(self) -> "Answer":
        """Return this answer as one that was cut at its limit of tokens."""
        details = IncompleteDetails(reason="max_output_tokens")
        return self.model_copy(update={"status": "incomplete", "incomplete_details": details})

    def _parts(self) -> list[OutputText | Refusal]:
        parts = [part for item in self.output if isinstance(item, Message) for part in item.content]
        return [part for part in parts if not isinstance(part, OtherPart)]


class _Failed(_ProviderModel):
    status: Literal["failed"]
    error: Any = None


_Response = Annotated[Answer | _Failed, Field(discriminator="status")]

_response_adapter = TypeAdapter[Answer | _Failed](_Response)


def parse_answer(body: bytes, headers: Headers) -> Answer:
    """Parse the body of a 2xx.

    Raises `AIInvalidProviderResponse`; if the body says that the response failed, what `error_from_body` returns.
    """
    value = _parse_object(body)
    if value.get("status") is not None:
        return _parse_response(value, headers, "completed")
    if error := value.get("error"):
        raise error_from_body(headers, error)
    if "output" not in value:
        raise other_api()
    return _parse_response(value, headers, "incomplete" if value.get("incomplete_details") else "completed")


def invalid_response() -> AIInvalidProviderResponse:
    return AIInvalidProviderResponse("The AI provider did not answer as its API should.")


def other_api() -> AIInvalidProviderResponse:
    return AIInvalidProviderResponse(
        "This is no answer of the Responses API. The operator has to check OPENAI_BASE_URL and the server there."
    )


def is_object(data: bytes) -> bool:
    """Return whether this is a whole JSON object."""
    try:
        return isinstance(from_json(data), dict)
    except ValueError:
        return False


def _parse_object(data: bytes) -> dict[str, Any]:
    """Raises `AIInvalidProviderResponse` for what is no JSON object, or holds a lone surrogate, which is no text."""
    try:
        value = from_json(data)
    except ValueError:
        raise invalid_response() from None
    if not isinstance(value, dict):
        raise invalid_response()
    return value


def _parse_response(value: object, headers: Headers, status: str) -> Answer:
    """`status` is what the response is at best. A response that is null is an empty one."""
    fields = {} if value is None else value
    if isinstance(fields, dict) and fields.get("status") in (None, *_STATUSES):
        fields = fields | {"status": max(status, fields.get("status") or status, key=_STATUSES.index)}
    try:
        response = _response_adapter.validate_python(fields)
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
_STATUSES = ("completed", "incomplete", "failed")
_ENDS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
}
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
        text = event.get("delta", ...)
        if text is not None and not isinstance(text, str):
            raise invalid_response()
        return Piece(text or "", is_refusal)
    if kind == "error" or event.get("error"):
        # The `type` of a bare event names the event, and not the error.
        raise error_from_body(headers, event.get("error") or {**event, "type": None})
    if not isinstance(kind, str):
        raise other_api()
    if kind in _ENDS:
        return _parse_response(event.get("response"), headers, _ENDS[kind])
    return Piece() if kind.startswith("response.") and kind not in _HEARTBEATS else None
