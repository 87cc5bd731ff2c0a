"""Builds the API's response models from a completion."""

from src import log
from src.ai.client import Completion
from src.ai.constants import CompletionStatus, FinishReason
from src.ai.provider_schemas import Answer
from src.ai.schemas import AIResponse, Meta, Output, Usage

_FINISH_REASONS = {
    "max_output_tokens": FinishReason.MAX_OUTPUT_TOKENS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


def build_response(completion: Completion) -> AIResponse:
    answer = completion.answer
    status, finish_reason = _outcome(answer)
    return AIResponse(
        id=answer.id,
        model=answer.model,
        status=status,
        finish_reason=finish_reason,
        output=Output(type="text", text=answer.text if answer.refusal is None else answer.refusal, data=None),
        usage=build_usage(completion),
        meta=build_meta(completion),
    )


def _outcome(answer: Answer) -> tuple[CompletionStatus, FinishReason]:
    if answer.refusal is not None:
        return CompletionStatus.REFUSED, FinishReason.REFUSAL
    if answer.status == "incomplete":
        reason = _FINISH_REASONS.get(answer.incomplete_details.reason or "", FinishReason.OTHER)
        return CompletionStatus.INCOMPLETE, reason
    return CompletionStatus.COMPLETED, FinishReason.STOP


def build_usage(completion: Completion) -> Usage:
    usage = completion.answer.usage
    return Usage(
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.input_tokens_details.cached_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.output_tokens_details.reasoning_tokens,
        total_tokens=usage.total_tokens,
    )


def build_meta(completion: Completion) -> Meta:
    return Meta(
        request_id=log.request_id.get(),
        provider_request_id=completion.provider_request_id,
        latency_ms=completion.latency_ms,
        attempts=completion.attempts,
        prompt_version=completion.prompt.version,
    )
