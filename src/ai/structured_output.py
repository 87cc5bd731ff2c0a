"""Answers that are one JSON object of a given schema, also from models that nothing forces into this form.

Servers that know structured output enforce the schema, some without showing it to the model, and others ignore it. So
the instructions describe it as well (`describe_fields`), and callers of this module validate what they get.

https://platform.openai.com/docs/guides/structured-outputs
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar

from pydantic_core import to_json

from src import json_parser
from src.ai.client import AIClient, Completion
from src.ai.exceptions import (
    AIAnswerTooSlow,
    AIContentRejected,
    AIInputTooLarge,
    AIInvalidProviderResponse,
    AIStructuredOutputUnsupported,
    AITimeout,
)
from src.ai.prompt import Prompt
from src.ai.provider_schemas import Answer, TokenUsage
from src.exceptions import AppError

T = TypeVar("T")

WRONG_FORM = "The model did not answer in the form that it was asked for. Another model may."
ONE_OBJECT = "Answer with one JSON object and nothing else."

_UNSUPPORTED = (
    "The model was asked twice for a JSON object and wrote none: the server at OPENAI_BASE_URL ignores `text.format`, "
    "as llama.cpp's does, and the model of AI_MODEL does not follow the instructions either. The operator has to set a "
    "larger model, or a server that enforces the format, such as OpenAI, vLLM or LiteLLM in front of llama.cpp."
)
_ONLY_THOUGHTS = (
    "The model's thoughts took all the tokens that its answer may have. The operator has to set AI_MODEL to one that "
    "thinks less."
)
_THOUGHT_BEGINS, _THOUGHT_ENDS = "<think>", "</think>"
_FENCE = re.compile(r"^[ ]*```\w*[ ]*\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
_NOT_AROUND_FENCE = re.compile(rf"[{{}}]|{_THOUGHT_BEGINS}")
# Characters of an answer that could not be used and of the reason, which the model is shown.
_SHOWN_ANSWER, _SHOWN_REASON = 300, 300


class Limits(NamedTuple):
    """`deadline` is the setting of what both calls may take; `shorten` says how a caller gets less of both texts."""

    deadline: Literal["ai_query_deadline", "ai_summary_deadline"]
    shorten: str


class Unfit(Exception):
    """An answer cannot be used. `reason` is for the model; `is_json` is false if nothing in the answer is JSON."""

    def __init__(self, reason: str, *, is_json: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.is_json = reason, is_json


async def complete_json(
    client: AIClient, prompt: Prompt, limits: Limits, read: Callable[[dict[str, Any]], T]
) -> tuple[T, Completion]:
    """Return what `read` makes of the answer's JSON object, and the completion: of both calls, if there were two.

    `read` raises `Unfit` for an object that it cannot use. Then the model is asked once more, and shown what was wrong.
    Raises `AIError`.
    """
    with _advise(limits):
        return await _complete(client, prompt, client.ends_in(getattr(client.settings, limits.deadline)), read)


async def _complete(
    client: AIClient, prompt: Prompt, ends: float, read: Callable[[dict[str, Any]], T]
) -> tuple[T, Completion]:
    first = await client.complete(prompt, ends)
    try:
        return read(_parse(first.answer)), first
    except Unfit as fault:
        problem = fault
    try:
        second = await client.complete(_ask_again(prompt, first.answer.text, problem.reason), ends)
    except AITimeout:
        raise AIInvalidProviderResponse(f"{WRONG_FORM} There was no time to ask it again.") from None
    try:
        return read(_parse(second.answer)), _add(first, second)
    except Unfit as fault:
        if problem.is_json or fault.is_json:
            raise AIInvalidProviderResponse(WRONG_FORM) from None
        raise AIStructuredOutputUnsupported(_UNSUPPORTED) from None


@contextmanager
def _advise(limits: Limits) -> Iterator[None]:
    """Name what the caller of an endpoint with a prompt of its own can do."""
    try:
        yield
    except _AnswerCut:
        detail = f"The model's answer was cut. {limits.shorten}, or have the operator set another model."
        raise AIInvalidProviderResponse(detail) from None
    except AIInputTooLarge:
        detail = f"{limits.shorten}, or have the operator give the model a larger context."
        raise AIInputTooLarge(detail) from None
    except AIAnswerTooSlow:
        detail = f"The answer takes too long. {limits.shorten}, or have {limits.deadline.upper()} raised."
        raise AIAnswerTooSlow(detail) from None


class _AnswerCut(AIInvalidProviderResponse):
    """The answer is the beginning of an object."""


def _parse(answer: Answer) -> dict[str, Any]:
    """The object of an answer. Raises `Unfit`, `AIContentRejected`, `AIInvalidProviderResponse`."""
    if answer.refusal is not None or answer.incomplete_details.reason == "content_filter":
        raise AIContentRejected("The model refuses to answer this.")
    if answer.status == "incomplete":
        _refuse_cut(answer.text.rpartition(_THOUGHT_ENDS)[2])
    return parse_object(answer.text)


def _refuse_cut(text: str) -> NoReturn:
    """Raise `Unfit` for words without an object: told so, a model may begin with the object next time."""
    if not text.strip() or _THOUGHT_BEGINS in text:
        raise AIInvalidProviderResponse(_ONLY_THOUGHTS)
    if "{" in text:
        raise _AnswerCut
    raise Unfit("it became too long before it had a JSON object", is_json=False)


def parse_object(text: str) -> dict[str, Any]:
    """Return the one JSON object of an answer.

    Before it there may be a thought that ends in `</think>`, and around it words without brackets, or a code fence and
    words without braces.
    Raises `Unfit` for anything else: two objects, a list, a thought that does not end.
    """
    try:
        value = json_parser.parse(text)
    except AppError:
        return _unwrap(text.rpartition(_THOUGHT_ENDS)[2].strip())
    if not isinstance(value, dict):
        raise Unfit("it is JSON, but no object")
    return value


def _unwrap(text: str) -> dict[str, Any]:
    fenced = _FENCE.findall(text)
    if len(fenced) == 1 and not _NOT_AROUND_FENCE.search(_FENCE.sub("", text)):
        text = fenced[0].strip()
    start, end = text.find("{"), text.rfind("}") + 1
    if not text or text.startswith("["):
        raise Unfit("it is no JSON object")
    if start < 0:
        raise Unfit("it has no JSON object", is_json=False)
    if _THOUGHT_BEGINS in text[:start] or any(bracket in text[:start] + text[end:] for bracket in "[]}"):
        raise Unfit("it is not one JSON object and nothing else")
    try:
        value = json_parser.parse(text[start:end])
    except AppError:
        raise Unfit("it is not one well-formed JSON object, without comments and repeated names") from None
    assert isinstance(value, dict)
    return value


def _ask_again(prompt: Prompt, text: str, reason: str) -> Prompt:
    told = (
        f"Your first answer to this could not be used, since {reason[:_SHOWN_REASON]}. It began: "
        f"{to_json(text[:_SHOWN_ANSWER]).decode()}. {ONE_OBJECT}"
    )
    return replace(prompt, input=f"{prompt.input}\n\n{told}")


def _add(first: Completion, second: Completion) -> Completion:
    """Return the second completion, with what both took."""
    usage = _add_counts(first.answer.usage.model_dump(), second.answer.usage.model_dump())
    return replace(
        second,
        answer=second.answer.model_copy(update={"usage": TokenUsage.model_validate(usage)}),
        attempts=first.attempts + second.attempts,
        latency_ms=round(first.latency_ms + second.latency_ms, 2),
    )


def _add_counts(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _add_counts(value, second[name]) if isinstance(value, Mapping) else value + second[name]
        for name, value in first.items()
    }


def object_schema(**properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON Schema of an object in strict form: each property is required, and no other is allowed."""
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


def describe_fields(schema: Mapping[str, Any]) -> str:
    """Return the properties of an object's schema for the instructions: one line each, with type and description."""
    return "\n".join(
        f"- `{name}` ({_describe_type(field)}): {field['description']}" for name, field in schema["properties"].items()
    )


def _describe_type(field: Mapping[str, Any]) -> str:
    match field:
        case {"anyOf": [wanted, {"type": "null"}]}:
            return f"{_describe_type(wanted)}, or null"
        case {"enum": [*values]}:
            return f"one of {', '.join(values)}"
        case {"type": "array", "items": {"properties": inner}}:
            return f"list of objects with {' and '.join(f'`{name}`' for name in inner)}"
        case {"type": "array", "items": items}:
            return f"list of {', '.join(items['enum'])}" if "enum" in items else "list of texts"
        case _:
            return "text"
