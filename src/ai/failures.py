"""What each failure of the provider means: https://platform.openai.com/docs/guides/error-codes"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from src.ai.constants import MAX_RETRY_AFTER
from src.ai.exceptions import (
    AIContentRejected,
    AIError,
    AIInputTooLarge,
    AIInvalidProviderResponse,
    AIModelUnavailable,
    AIProviderAuthenticationFailed,
    AIProviderGaveUp,
    AIProviderPermissionDenied,
    AIProviderRejectedRequest,
    AIProviderUnavailable,
    AIQuotaExhausted,
    AIRateLimited,
    FastFailure,
)

Headers = Mapping[str, str]

# Values of an error's `code` or `type`.
_QUOTA = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
}
_INPUT_TOO_LARGE = {"context_length_exceeded", "string_above_max_length"}
_CONTENT_POLICY = {
    "bio_policy",
    "content_filter",
    "content_policy_violation",
    "cyber_policy",
    "invalid_prompt",
    "misalignment_policy_violation",
    "moderation_blocked",
}
_MODEL_NOT_FOUND = "model_not_found"
_SERVER_ERROR = "server_error"
_LATE_STATUS = {"rate_limit_exceeded": HTTPStatus.TOO_MANY_REQUESTS, _SERVER_ERROR: HTTPStatus.BAD_GATEWAY}

_WAIT = re.compile(r"\d{1,9}(\.\d+)?")


def late_failure(headers: Headers, error: object) -> AIError | FastFailure:
    """What an error means that came after a 200: as if it had come with the status that goes with it."""
    words = _words(error) or {_SERVER_ERROR}
    status = next((status for word, status in _LATE_STATUS.items() if word in words), HTTPStatus.BAD_REQUEST)
    return failure(status, headers, error)


def failure(status: int, headers: Headers, error: object) -> AIError | FastFailure:
    """What it means that the provider answered with this status and error, usually an object with `code` and `type`."""
    wait = read_wait(headers)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FastFailure(AIProviderUnavailable("The AI provider failed. Try again later.", _whole(wait)), wait)
    if status < HTTPStatus.BAD_REQUEST:
        return AIInvalidProviderResponse("The AI provider redirects. The operator has to correct OPENAI_BASE_URL.")
    return _client_error(status, wait, error)


def _client_error(status: int, wait: float | None, error: object) -> AIError | FastFailure:
    words = _words(error)
    if words & _QUOTA or status == HTTPStatus.PAYMENT_REQUIRED:
        return AIQuotaExhausted("The operator of this service has to see to the provider's billing.")
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return AIProviderAuthenticationFailed("The operator of this service has to correct OPENAI_API_KEY.")
        case HTTPStatus.FORBIDDEN:
            return AIProviderPermissionDenied("The operator has to give this service's key the permission.")
        case HTTPStatus.NOT_FOUND:
            return _not_found(error)
        case HTTPStatus.REQUEST_TIMEOUT:
            return FastFailure(AIProviderGaveUp("The AI provider gave up. Try again.", _whole(wait)), wait)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _rate_limited(wait)
        case _:
            return _rejected(status, words)


def _rate_limited(wait: float | None) -> AIError | FastFailure:
    """Another attempt is for those who were told when: to guess would make the crowd larger."""
    if wait is None:
        return AIRateLimited(f"Try again after {AIRateLimited.retry_after} seconds.")
    error = AIRateLimited(f"Try again after {_whole(wait)} seconds.", _whole(wait))
    return FastFailure(error, wait)


def _not_found(error: object) -> AIError:
    """An API that lacks the model says so as an object; anything else never reached an API."""
    if isinstance(error, Mapping) and ("message" in error or "code" in error):
        return _model_unavailable()
    return AIInvalidProviderResponse("There is no such API. The operator has to correct OPENAI_BASE_URL.")


def _rejected(status: int, words: set[str]) -> AIError:
    if words & _INPUT_TOO_LARGE or status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return AIInputTooLarge("Send a shorter input, or shorter instructions.")
    if words & _CONTENT_POLICY:
        return AIContentRejected("Word the input differently.")
    if _MODEL_NOT_FOUND in words:
        return _model_unavailable()
    return AIProviderRejectedRequest("Leave out what not every model takes: temperature, reasoning_effort.")


def _model_unavailable() -> AIModelUnavailable:
    return AIModelUnavailable("The operator of this service has to set AI_MODEL to a model that the provider offers.")


def _words(error: object) -> set[str]:
    if not isinstance(error, Mapping):
        return set()
    return {value for name in ("code", "type") if isinstance(value := error.get(name), str)}


def read_wait(headers: Headers) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3: seconds or a date), if it says so."""
    milliseconds, after = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if _WAIT.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    return float(after) if _WAIT.fullmatch(after) else _seconds_until(after)


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _whole(wait: float | None) -> int | None:
    return None if wait is None else min(max(1, math.ceil(wait)), MAX_RETRY_AFTER)
