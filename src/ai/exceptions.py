"""Errors of calls to the AI provider.

    AIError
    ├── AINotConfigured                   503
    ├── AIProviderAuthenticationFailed    502   not 401: the caller's credentials are not what failed
    ├── AIProviderPermissionDenied        502
    ├── AIRateLimited                     429
    ├── AIQuotaExhausted                  503
    ├── AIModelUnavailable                502
    │   └── AINamedModelUnavailable       422   the caller named it
    ├── AIInputTooLarge                   413
    ├── AIContentRejected                 422
    ├── AIProviderRejectedRequest         502
    ├── AIProviderUnavailable             503
    ├── AICircuitOpen                     503   the provider failed too often just now
    ├── AISaturated                       503   too many calls are in flight
    ├── AITimeout                         504
    │   ├── AIProviderGaveUp              504   the provider answered 408
    │   └── AIAnswerTooSlow               504   the answer was under way at the deadline
    ├── AIInvalidProviderResponse         502
    └── AIStructuredOutputUnsupported     502   the model writes no JSON, and nothing makes it

The provider's error messages can hold the prompt and the key. No `detail` quotes them, and an error whose
cause holds them is raised `from None`.
"""

from collections.abc import Iterable

from src.ai.constants import DEFAULT_RETRY_AFTER
from src.exceptions import AppError, ValidationFailed


class AIError(AppError):
    """Its problem document has `retryable`: whether the same request may succeed later; `retry_after_seconds` if known.

    `is_outage`: the provider is away or silent, for all callers; the circuit breaker counts it. A slow one is not.
    """

    retryable = False
    is_outage = False

    def __init__(self, detail: str = "", retry_after: int | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.extensions["retryable"] = self.retryable
        if self.retry_after is not None:
            self.extensions["retry_after_seconds"] = self.retry_after


class AINotConfigured(AIError):
    status, code, title = 503, "ai-not-configured", "No AI provider is configured"


class AIProviderAuthenticationFailed(AIError):
    status, code, title = 502, "ai-provider-authentication-failed", "The AI provider refuses this service's key"


class AIProviderPermissionDenied(AIError):
    status, code, title = 502, "ai-provider-permission-denied", "The AI provider does not permit this to this service"


class AIRateLimited(AIError):
    status, code, title, retryable = 429, "ai-rate-limited", "The AI provider's rate limit is reached", True
    retry_after = DEFAULT_RETRY_AFTER


class AIQuotaExhausted(AIError):
    status, code, title = 503, "ai-quota-exhausted", "The quota at the AI provider is exhausted"


class AIModelUnavailable(AIError):
    status, code, title = 502, "ai-model-unavailable", "The AI provider does not offer this model"


class AINamedModelUnavailable(AIModelUnavailable):
    status = 422


class AIInputTooLarge(AIError):
    status, code, title = 413, "ai-input-too-large", "The input is too large for the model"


class AIContentRejected(AIError):
    status, code, title = 422, "ai-content-rejected", "The AI provider's content policy rejects this"


class AIProviderRejectedRequest(AIError):
    status, code, title = 502, "ai-provider-rejected-request", "The AI provider rejects the request"


class AIProviderUnavailable(AIError):
    status, code, title, retryable = 503, "ai-provider-unavailable", "The AI provider is unavailable", True
    is_outage = True


class AICircuitOpen(AIError):
    status, code, title, retryable = 503, "ai-circuit-open", "The AI provider failed too often just now", True
    retry_after = 1


class AISaturated(AIError):
    status, code, title, retryable = 503, "ai-saturated", "Too many calls of the AI provider are in flight", True
    retry_after = 1


class AITimeout(AIError):
    status, code, title, retryable = 504, "ai-timeout", "The AI provider took too long", True
    is_outage = True


class AIProviderGaveUp(AITimeout):
    is_outage = False


class AIAnswerTooSlow(AITimeout):
    is_outage = False


class AIInvalidProviderResponse(AIError):
    status, code, title = 502, "ai-invalid-provider-response", "The AI provider's answer cannot be understood"


class AIStructuredOutputUnsupported(AIError):
    status, code, title = 502, "ai-structured-output-unsupported", "The AI provider gives no structured output"


class ModelNotAllowed(ValidationFailed):
    def __init__(self, allowed: Iterable[str]) -> None:
        message = f"Must be one of the allowed models: {', '.join(allowed)}"
        super().__init__([{"loc": ["body", "model"], "msg": message, "type": "model_not_allowed"}])


class TransientFailure(Exception):
    """An attempt failed early, and another may succeed after `delay` seconds (None: the provider names no time).

    It stays inside the domain. Callers get `error` if there is no other attempt.
    """

    def __init__(self, error: AIError, delay: float | None = None) -> None:
        super().__init__(error.code)
        self.error, self.delay = error, delay
