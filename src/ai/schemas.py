"""Request and response bodies of `/ai/responses` and `/ai/status`, and the data of stream events."""

import json
from typing import Any, Literal, NamedTuple

from pydantic import Field

from src.ai.constants import (
    DEFAULT_OUTPUT_TOKENS,
    MAX_INPUT_LENGTH,
    MAX_INSTRUCTIONS_LENGTH,
    MAX_OUTPUT_TOKENS,
    MAX_TEMPERATURE,
    MIN_OUTPUT_TOKENS,
    CompletionStatus,
    FinishReason,
    ReasoningEffort,
)
from src.schemas import CustomModel, example

EXAMPLE_USAGE: dict[str, Any] = {
    "input_tokens": 24,
    "cached_input_tokens": 0,
    "output_tokens": 11,
    "reasoning_tokens": 0,
    "total_tokens": 35,
}
EXAMPLE_META: dict[str, Any] = {
    "request_id": "019c1400-7c3d-7e4f-8a5b-6c7d8e9f0a1b",
    "provider_request_id": "req_3d4e5f",
    "latency_ms": 812.5,
    "attempts": 1,
    "prompt_version": "responses-1",
}
EXAMPLE_RESPONSE: dict[str, Any] = {
    "id": "resp_0a1b2c",
    "model": "gpt-5.4-mini",
    "status": "completed",
    "finish_reason": "stop",
    "output": {"type": "text", "text": "It shows who did what, and when.", "data": None},
    "usage": EXAMPLE_USAGE,
    "meta": EXAMPLE_META,
}
EXAMPLE_STREAM = f"""\
event: start
data: {{"model":"gpt-5.4-mini","request_id":"{EXAMPLE_META["request_id"]}"}}

event: delta
data: {{"seq":0,"text":"It shows who did what, and when."}}

event: done
data: {json.dumps(EXAMPLE_RESPONSE)}

"""


class ResponseCreate(CustomModel):
    model_config = example(
        {
            "input": "Explain in two sentences what an audit trail is for.",
            "instructions": "Answer in plain English.",
            "max_output_tokens": 256,
        }
    )

    input: str = Field(min_length=1, max_length=MAX_INPUT_LENGTH, description="What the model is to answer.")
    instructions: str | None = Field(
        None,
        max_length=MAX_INSTRUCTIONS_LENGTH,
        description="Instructions to the model. They take precedence over `input`.",
    )
    model: str | None = Field(
        None, max_length=128, description="One of those that `GET /api/v1/ai/status` lists; its default if left out."
    )
    max_output_tokens: int = Field(
        DEFAULT_OUTPUT_TOKENS,
        strict=True,
        ge=MIN_OUTPUT_TOKENS,
        le=MAX_OUTPUT_TOKENS,
        description="The answer is cut after so many tokens. The model's reasoning counts too.",
    )
    temperature: float | None = Field(
        None,
        strict=True,
        ge=0,
        le=MAX_TEMPERATURE,
        description="Not every model accepts one. The model's own default if left out.",
    )
    reasoning_effort: ReasoningEffort | None = Field(
        None, description="Not every model accepts every value. The model's own default if left out."
    )


class Output(CustomModel):
    type: Literal["text", "json"]
    text: str = Field(description="The answer as written; of a refusal, the words in which the model refuses.")
    data: Any = Field(description="The value, where `type` is `json`; else null.")


class Usage(CustomModel):
    """Tokens, as the provider counts them; 0 where it does not say."""

    input_tokens: int
    cached_input_tokens: int = Field(description="How many of `input_tokens` came from the provider's cache.")
    output_tokens: int
    reasoning_tokens: int = Field(description="How many of `output_tokens` were the model's reasoning.")
    total_tokens: int


class Meta(CustomModel):
    request_id: str | None = Field(description="As in `X-Request-ID`.")
    provider_request_id: str | None = Field(description="The provider's id of the request, for its support.")
    latency_ms: float = Field(description="How long the call to the provider took, all attempts included.")
    attempts: int = Field(description="How often the provider was asked.")
    prompt_version: str = Field(description="The version of the prompt that this service made of the request.")


class AIResponse(CustomModel):
    model_config = example(EXAMPLE_RESPONSE)

    id: str = Field(description="The provider's id of the answer; empty if it gives none.")
    model: str = Field(
        description="The model that answered, as the provider names it; the one that was asked if it does not say."
    )
    status: CompletionStatus = Field(description="`incomplete`: the answer was cut; `finish_reason` says why.")
    finish_reason: FinishReason
    output: Output
    usage: Usage
    meta: Meta


class StreamStart(CustomModel):
    """The provider has begun."""

    model: str = Field(description="The model that was asked.")
    request_id: str | None = Field(description="As in `X-Request-ID`.")


class StreamDelta(NamedTuple):
    """The next piece of the answer's text. No model, since there is one for each token.

    `seq` counts from 0.
    """

    seq: int
    text: str


class AIStatus(CustomModel):
    model_config = example({"configured": True, "default_model": "gpt-5.4-mini", "allowed_models": ["gpt-5.4-mini"]})

    configured: bool = Field(
        description="Whether an API key is set. Only a call shows whether the provider accepts it."
    )
    default_model: str
    allowed_models: list[str]
