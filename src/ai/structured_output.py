"""Answers that are JSON of a given schema. Models can ignore the schema, so callers of this module validate the value.

https://platform.openai.com/docs/guides/structured-outputs
"""

from collections.abc import Mapping
from typing import Any

from src import json_parser
from src.ai.client import AIClient, Completion
from src.ai.exceptions import AIContentRejected, AIInvalidProviderResponse
from src.ai.prompt import Prompt
from src.ai.provider_schemas import Answer
from src.exceptions import AppError

WRONG_FORM = "The model did not answer in the form that it was asked for. Word it differently, or try again."


async def complete_json(client: AIClient, prompt: Prompt, ends: float) -> tuple[Any, Completion]:
    """Return the answer's JSON value, and the completion that holds it. `ends` is that of `AIClient.complete`.

    Raises `AIError`.
    """
    completion = await client.complete(prompt, ends)
    return _parse(completion.answer), completion


def _parse(answer: Answer) -> Any:
    if answer.refusal is not None or answer.incomplete_details.reason == "content_filter":
        raise AIContentRejected("The model refuses to answer this.")
    if answer.status == "incomplete":
        raise AIInvalidProviderResponse("The model's answer was cut. Ask for less.")
    try:
        return json_parser.parse(answer.text)
    except AppError:
        raise AIInvalidProviderResponse(WRONG_FORM) from None


def object_schema(**properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of an object in strict form: each property is required, and no other is allowed."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
