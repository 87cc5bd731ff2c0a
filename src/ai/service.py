"""Asks a model for an answer, as a whole or as a stream, and returns what is configured."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from src import log
from src.ai import responses
from src.ai.client import AIClient
from src.ai.constants import PROMPT_VERSION
from src.ai.exceptions import AIModelUnavailable, AINamedModelUnavailable, ModelNotAllowed
from src.ai.prompt import Prompt
from src.ai.schemas import AIResponse, AIStatus, ResponseCreate, StreamDelta, StreamStart


async def create_response(client: AIClient, body: ResponseCreate) -> AIResponse:
    """Return the whole answer. Raises `ModelNotAllowed`, `AIError`."""
    prompt = _build_prompt(client, body)
    with _translate_model_errors(body):
        return responses.build_response(await client.complete(prompt))


async def stream_response(
    client: AIClient, body: ResponseCreate
) -> AsyncGenerator[StreamStart | list[StreamDelta] | AIResponse]:
    """Yield `StreamStart` when the provider has begun, then pieces of the text as they arrive, last the whole answer.

    Raises `ModelNotAllowed` before `StreamStart`, and `AIError` at any time; then no `AIResponse` comes.
    """
    prompt = _build_prompt(client, body)
    seq = 0
    with _translate_model_errors(body):
        async with aclosing(client.stream(prompt)) as events:
            await anext(events)
            yield StreamStart(model=prompt.model, request_id=log.request_id.get())
            async for event in events:
                if isinstance(event, list):
                    yield [StreamDelta(seq + number, text) for number, text in enumerate(event)]
                    seq += len(event)
                else:
                    yield responses.build_response(event)


async def get_status(client: AIClient) -> AIStatus:
    """Return what is configured, without a call to the provider."""
    return AIStatus(
        configured=client.configured,
        default_model=client.settings.ai_model,
        allowed_models=[*client.settings.ai_allowed_models],
    )


def _build_prompt(client: AIClient, body: ResponseCreate) -> Prompt:
    model = client.settings.ai_model if body.model is None else body.model
    if model not in client.settings.ai_allowed_models:
        raise ModelNotAllowed(client.settings.ai_allowed_models)
    return Prompt(
        version=PROMPT_VERSION,
        model=model,
        input=body.input,
        instructions=body.instructions,
        max_output_tokens=body.max_output_tokens,
        temperature=body.temperature,
        reasoning_effort=body.reasoning_effort,
    )


@contextmanager
def _translate_model_errors(body: ResponseCreate) -> Iterator[None]:
    """Raise `AINamedModelUnavailable` for `AIModelUnavailable` if the caller has named the model."""
    try:
        yield
    except AIModelUnavailable:
        if body.model is None:
            raise
        raise AINamedModelUnavailable(
            "Name another model; GET /api/v1/ai/status lists those that are allowed."
        ) from None
