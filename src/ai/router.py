"""The endpoints of the AI domain: each speaks HTTP and calls the service once."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Scope

from src.ai import audit_queries, audit_summaries, exceptions, service
from src.ai.audit_schemas import AuditQuestion, AuditQuestionAnswer, Summary, SummaryRequest
from src.ai.dependencies import AIClientDep, ExitStackDep
from src.ai.schemas import EXAMPLE_STREAM, AIResponse, AIStatus, ResponseCreate, StreamDelta, StreamStart
from src.audits.constants import PATH as AUDITS_PATH
from src.config import API_PREFIX, AppSettings
from src.exceptions import ValidationFailed
from src.web import problems
from src.web.dependencies import AutocommitDep
from src.web.responses import ShapedJSON
from src.web.routes import StrictJSONRoute
from src.web.state import shared
from src.web.waiting import EventStream, while_connected

router = APIRouter(prefix=f"{API_PREFIX}/ai", tags=["ai"], route_class=StrictJSONRoute)

# The errors that a call to the provider can raise.
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
    exceptions.AICircuitOpen,
    exceptions.AISaturated,
    exceptions.AITimeout,
)
_AUDIT_ERRORS = (*_PROVIDER_ERRORS, exceptions.AIStructuredOutputUnsupported, *problems.DATABASE_ERRORS)

_EVENTS_SCHEMA = {
    "type": "string",
    "description": (
        "Server-sent events: `event` is `start`, `delta`, `done` or `error`, and `data` is one line of JSON. "
        "`done` holds an `AIResponse`, `error` a `Problem`."
    ),
}
_STREAM_RESPONSES = problems.documented(*problems.BODY_ERRORS, *_PROVIDER_ERRORS)
_STREAM_RESPONSES[200] = {
    "description": "The answer as it is written.",
    "content": {EventStream.media_type: {"schema": _EVENTS_SCHEMA, "example": EXAMPLE_STREAM}},
}

StreamEvent = StreamStart | list[StreamDelta] | AIResponse
_EVENT_NAMES = {StreamStart: "start", AIResponse: "done"}


@router.post(
    "/responses",
    summary="Ask a model",
    response_description="What the model answered, as a whole.",
    responses=problems.documented(*problems.BODY_ERRORS, *_PROVIDER_ERRORS),
)
async def create_response(body: ResponseCreate, client: AIClientDep, request: Request) -> AIResponse:
    """Answers within the deadline of the service, 8 seconds by default. Nothing is kept, here or at the provider.

    An answer that was cut (`incomplete`) or refused (`refused`) is 200 as well. Errors say whether the same request
    may succeed later: `retryable`, and `retry_after_seconds` where that is known.
    """
    return await while_connected(request, service.create_response(client, body))


@router.post(
    "/responses/stream",
    summary="Ask a model, and read its answer as it is written",
    # With EventSourceResponse, FastAPI expects a generator, and answers 200 before the provider has begun.
    response_class=StreamingResponse,
    response_model=None,
    responses=_STREAM_RESPONSES,
)
async def stream_response(
    body: ResponseCreate, client: AIClientDep, request: Request, stack: ExitStackDep
) -> EventStream:
    """Server-sent events: `start`, `delta` for each piece of text, then exactly one `done` or `error`.

    `done` holds what `POST /responses` answers, `error` a problem document; only with `done` the answer is complete.
    What fails before `start` is an ordinary problem. By default a stream ends within 60 seconds, and earlier if the
    model makes no progress for 10.
    """
    events = await stack.enter_async_context(aclosing(service.stream_response(client, body)))
    first = await while_connected(request, _first_event(events))
    return EventStream(_encode_events(first, events, request.scope))


async def _first_event(events: AsyncGenerator[StreamEvent]) -> StreamEvent:
    return await anext(events)


async def _encode_events(
    first: StreamEvent, events: AsyncGenerator[StreamEvent], scope: Scope
) -> AsyncGenerator[bytes]:
    yield _encode_event(first)
    try:
        async for event in events:
            yield _encode_event(event)
    except Exception as error:
        yield format_sse_event(event="error", data_str=problems.document(error, scope).decode())


def _encode_event(event: StreamEvent) -> bytes:
    # ASCII, since some clients also split lines at U+2028.
    if isinstance(event, list):
        return "".join(
            f'event: delta\ndata: {{"seq":{seq},"text":{json.dumps(text)}}}\n\n' for seq, text in event
        ).encode()
    return format_sse_event(event=_EVENT_NAMES[type(event)], data_str=event.model_dump_json(ensure_ascii=True))


@router.post(
    "/audits/query",
    summary="Ask for records in words",
    response_model=AuditQuestionAnswer,
    responses=problems.documented(*problems.BODY_ERRORS, *_AUDIT_ERRORS),
)
async def query_audits(
    question: AuditQuestion, connection: AutocommitDep, client: AIClientDep, request: Request
) -> Response:
    """A model turns the question into a filter of `GET /audits`, which is shown with the records that it finds.

    What no filter can express is in `unsupported`, and was not looked for. If that leaves no filter at all, no records
    are read: `items` is null. The model sees the question, and no record.
    """
    settings = shared(request, "app_settings", AppSettings)
    list_path = settings.root_path + AUDITS_PATH
    answer = await while_connected(request, audit_queries.answer_question(connection, client, question, list_path))
    return ShapedJSON(answer.model_dump_json())


@router.post(
    "/audits/summary",
    summary="Summarise records",
    responses=problems.documented(*problems.BODY_ERRORS, *_AUDIT_ERRORS),
)
async def summarize_audits(
    body: SummaryRequest, client: AIClientDep, connection: AutocommitDep, request: Request
) -> Summary:
    """A model reads the newest records that match, and says what it sees in them; each finding cites its records.

    The records leave for the provider without what looks like a secret, and with their details cut. `total` and
    `counts` are the database's. Nothing is recorded.
    """
    return await while_connected(request, audit_summaries.summarize(connection, client, body))


@router.get(
    "/status",
    summary="Whether AI is configured, and with which models",
    responses=problems.documented(ValidationFailed),
)
async def read_status(client: AIClientDep) -> AIStatus:
    """Does not ask the provider."""
    return await service.get_status(client)
