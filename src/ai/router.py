"""The endpoints of the AI domain: HTTP on one side, one call of the service on the other."""

from fastapi import APIRouter, Request

from src import problems
from src.ai import exceptions, service
from src.ai.dependencies import AIClientDep, while_connected
from src.ai.schemas import AIResponse, AIStatus, ResponseCreate
from src.config import API_PREFIX
from src.dependencies import StrictQuery
from src.exceptions import ValidationFailed
from src.strict_json import StrictJSONRoute

router = APIRouter(prefix=f"{API_PREFIX}/ai", tags=["ai"], route_class=StrictJSONRoute, dependencies=[StrictQuery])

# What a call of the provider can end in.
_PROVIDER_ERRORS = (
    exceptions.AIInputTooLarge,
    exceptions.AIContentRejected,
    exceptions.AINamedModelUnavailable,
    exceptions.AIRateLimited,
    exceptions.AIProviderAuthenticationFailed,
    exceptions.AIProviderPermissionDenied,
    exceptions.AIModelUnavailable,
    exceptions.AIProviderRejectedRequest,
    exceptions.AIInvalidProviderResponse,
    exceptions.AINotConfigured,
    exceptions.AIQuotaExhausted,
    exceptions.AIProviderUnavailable,
    exceptions.AITimeout,
)


@router.post(
    "/responses",
    summary="Ask a model",
    response_description="What the model answered, as a whole.",
    responses=problems.documented(*problems.BODY_ERRORS, *_PROVIDER_ERRORS),
)
async def create_response(prompt: ResponseCreate, client: AIClientDep, request: Request) -> AIResponse:
    """Answers within the deadline of the service, 8 seconds by default. Nothing is kept, here or at the provider.

    An answer that was cut (`incomplete`) or refused (`refused`) is 200 as well. Errors say whether the same request
    may succeed later: `retryable`, and `retry_after_seconds` where that is known.
    """
    return await while_connected(request, service.respond(client, prompt))


@router.get(
    "/status",
    summary="Whether AI is configured, and with which models",
    responses=problems.documented(ValidationFailed),
)
async def read_status(client: AIClientDep) -> AIStatus:
    """Does not ask the provider."""
    return await service.get_status(client)
