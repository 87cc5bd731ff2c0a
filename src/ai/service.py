"""What is asked of the provider, and what its answer means."""

from src import observability
from src.ai.client import AIClient, Completion
from src.ai.constants import PROMPT_VERSION, CompletionStatus, FinishReason
from src.ai.exceptions import AIModelUnavailable, AINamedModelUnavailable, ModelNotAllowed
from src.ai.provider import Answer, TokenUsage
from src.ai.schemas import AIResponse, AIStatus, Meta, Output, ResponseCreate, Usage

_FINISH_REASONS = {
    "max_output_tokens": FinishReason.MAX_OUTPUT_TOKENS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


async def respond(client: AIClient, prompt: ResponseCreate) -> AIResponse:
    """Raises `ModelNotAllowed`, `AIError`."""
    model = client.settings.ai_model if prompt.model is None else prompt.model
    if model not in client.settings.ai_allowed_models:
        raise ModelNotAllowed(client.settings.ai_allowed_models)
    try:
        completion = await client.create_response(model, prompt)
    except AIModelUnavailable as error:
        if prompt.model is None:
            raise
        raise AINamedModelUnavailable(error.detail) from None
    return _envelope(completion)


async def get_status(client: AIClient) -> AIStatus:
    """What is configured; the provider is not asked."""
    return AIStatus(
        configured=client.configured,
        default_model=client.settings.ai_model,
        allowed_models=[*client.settings.ai_allowed_models],
    )


def _envelope(completion: Completion) -> AIResponse:
    answer = completion.answer
    status, finish_reason = _ending(answer)
    return AIResponse(
        id=answer.id,
        model=answer.model,
        status=status,
        finish_reason=finish_reason,
        output=Output(type="text", text=answer.text if answer.refusal is None else answer.refusal, data=None),
        usage=_usage(answer.usage),
        meta=Meta(
            request_id=observability.request_id.get(),
            provider_request_id=completion.provider_request_id,
            latency_ms=completion.latency_ms,
            attempts=completion.attempts,
            prompt_version=PROMPT_VERSION,
        ),
    )


def _ending(answer: Answer) -> tuple[CompletionStatus, FinishReason]:
    if answer.refusal is not None:
        return CompletionStatus.REFUSED, FinishReason.REFUSAL
    if answer.status == "incomplete":
        reason = _FINISH_REASONS.get(answer.incomplete_details.reason or "", FinishReason.OTHER)
        return CompletionStatus.INCOMPLETE, reason
    return CompletionStatus.COMPLETED, FinishReason.STOP


def _usage(usage: TokenUsage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.input_tokens_details.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.output_tokens_details.reasoning_tokens,
        total_tokens=usage.total_tokens,
    )
