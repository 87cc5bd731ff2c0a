"""What can be asked of a model."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from src import log
from src.ai import envelope
from src.ai.answers import Delta
from src.ai.calls import AIClient
from src.ai.constants import PROMPT_VERSION
from src.ai.exceptions import AIModelUnavailable, AINamedModelUnavailable, ModelNotAllowed
from src.ai.prompt import Prompt
from src.ai.schemas import AIResponse, AIStatus, ResponseCreate, StreamDelta, StreamStart


async def respond(client: AIClient, asked: ResponseCreate) -> AIResponse:
    """Raises `ModelNotAllowed`, `AIError`."""
    prompt = _prompt(client, asked)
    with _blaming(asked):
        return envelope.response(await client.complete(prompt))


async def stream(client: AIClient, asked: ResponseCreate) -> AsyncGenerator[StreamStart | StreamDelta | AIResponse]:
    """The start, when the provider has begun; pieces of the text; the whole answer.

    Raises `ModelNotAllowed` before the start; `AIError` at any time, and then there is no answer.
    """
    prompt = _prompt(client, asked)
    seq = 0
    with _blaming(asked):
        async with aclosing(client.stream(prompt)) as events:
            await anext(events)
            yield StreamStart(model=prompt.model, request_id=log.request_id.get())
            async for event in events:
                if isinstance(event, Delta):
                    yield StreamDelta(seq=seq, text=event.text)
                    seq += 1
                else:
                    yield envelope.response(event)


async def get_status(client: AIClient) -> AIStatus:
    """What is configured; the provider is not asked."""
    return AIStatus(
        configured=client.configured,
        default_model=client.settings.ai_model,
        allowed_models=[*client.settings.ai_allowed_models],
    )


def _prompt(client: AIClient, asked: ResponseCreate) -> Prompt:
    model = client.settings.ai_model if asked.model is None else asked.model
    if model not in client.settings.ai_allowed_models:
        raise ModelNotAllowed(client.settings.ai_allowed_models)
    return Prompt(
        version=PROMPT_VERSION,
        model=model,
        input=asked.input,
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        reasoning_effort=asked.reasoning_effort,
    )


@contextmanager
def _blaming(asked: ResponseCreate) -> Iterator[None]:
    """A model that the provider lacks is the caller's mistake where the caller has named it."""
    try:
        yield
    except AIModelUnavailable:
        if asked.model is None:
            raise
        raise AINamedModelUnavailable(
            "Name another model; GET /api/v1/ai/status lists those that are allowed."
        ) from None
