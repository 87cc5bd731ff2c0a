"""Answers as JSON of a given shape. What a model returns is never trusted: it is parsed and validated as input is."""

from collections.abc import Mapping
from typing import Any

from src import json_parser
from src.ai.answers import Answer
from src.ai.calls import AIClient, Completion
from src.ai.exceptions import AIContentRejected, AIInvalidProviderResponse
from src.ai.prompt import Prompt
from src.exceptions import AppError

NOT_AS_ASKED = "The model did not answer in the form that it was asked for. Word it differently, or try again."


async def complete(client: AIClient, prompt: Prompt) -> tuple[Any, Completion]:
    """The JSON value of the answer. Raises `AIError`."""
    completion = await client.complete(prompt)
    return _value(completion.answer), completion


def _value(answer: Answer) -> Any:
    if answer.refusal is not None or answer.incomplete_details.reason == "content_filter":
        raise AIContentRejected("The model refuses. Word it differently.")
    if answer.status == "incomplete":
        raise AIInvalidProviderResponse("The model's answer was cut. Ask for less.")
    try:
        return json_parser.parse(answer.text)
    except AppError:
        raise AIInvalidProviderResponse(NOT_AS_ASKED) from None


def object_of(**properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of an object, as strict structured output takes it: every property is required, no other is."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
