"""Dependencies of the audits router: the record that the path names, and the values of its headers."""

import re
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from fastapi import Depends, Header, Path, Request
from pydantic import AfterValidator, BeforeValidator, StringConstraints, TypeAdapter, ValidationError

from src import clock
from src.audits import service
from src.audits.config import AuditSettings
from src.audits.constants import MAX_IDEMPOTENCY_KEY_LENGTH, MAX_REASON_LENGTH, MAX_TEXT_LENGTH
from src.audits.idempotency import IdempotentRequest
from src.audits.revisions import Attribution
from src.audits.statements import StoredAudit
from src.batches import SeparateItems
from src.schemas import TEXT_PATTERN
from src.shaped import Shaped
from src.web.dependencies import AutocommitDep
from src.web.state import shared

AuditId = Annotated[UUID, Path(description="The id that the service gave to the record.")]


async def valid_audit(audit_id: AuditId, connection: AutocommitDep) -> Shaped[StoredAudit]:
    """Read the record. Raises `AuditNotFound`."""
    return await service.get(connection, audit_id)


ValidAudit = Annotated[Shaped[StoredAudit], Depends(valid_audit)]
"""The record that the path names; 404 if there is none.

For reads only. A write must not use it, since the record can change before the write locks it.
"""


def _strip(value: Any) -> Any:
    """Remove the blanks around a value, which are no part of it (RFC 9110, 5.5). uvicorn keeps those behind."""
    return value.strip(" \t") if isinstance(value, str) else value


# RFC 3986, 2.1: printable ASCII, in which a percent sign begins an octet.
_PERCENT_ENCODED = re.compile(r"(?:[\x20-\x24\x26-\x7e]|%[0-9A-Fa-f]{2})*")


def _percent_decode(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = _strip(value)
    if not _PERCENT_ENCODED.fullmatch(value):
        raise ValueError("must be percent-encoded UTF-8: a percent sign is %25")
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise ValueError("must be percent-encoded UTF-8") from None


def _decoded_text(max_length: int) -> AfterValidator:
    """Validate the length of the decoded text. In the header's schema the limit would hold for the encoded text."""
    limits = TypeAdapter[str](
        Annotated[str, StringConstraints(min_length=1, max_length=max_length, pattern=TEXT_PATTERN)]
    )

    def validate(value: str) -> str:
        try:
            return limits.validate_python(value)
        except ValidationError:
            raise ValueError(f"must be 1 to {max_length} characters, without control characters") from None

    return AfterValidator(validate)


async def get_attribution(
    x_actor_id: Annotated[
        Annotated[str, BeforeValidator(_percent_decode), _decoded_text(MAX_TEXT_LENGTH)] | None,
        Header(
            alias="X-Actor-Id",
            description=f"Who makes this change: up to {MAX_TEXT_LENGTH} characters, percent-encoded UTF-8.",
            examples=["u-17"],
        ),
    ] = None,
    x_change_reason: Annotated[
        Annotated[str, BeforeValidator(_percent_decode), _decoded_text(MAX_REASON_LENGTH)] | None,
        Header(
            alias="X-Change-Reason",
            description=f"Why: up to {MAX_REASON_LENGTH} characters, percent-encoded UTF-8.",
            examples=["typing%20error"],
        ),
    ] = None,
) -> Attribution:
    """Read who changes the record, and why, from the headers `X-Actor-Id` and `X-Change-Reason`."""
    return Attribution(x_actor_id, x_change_reason)


AttributionDep = Annotated[Attribution, Depends(get_attribution)]
"""Who changes a record, and why, according to the caller."""


async def get_idempotent_request(
    request: Request,
    idempotency_key: Annotated[
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=MAX_IDEMPOTENCY_KEY_LENGTH, pattern=r"^[\x20-\x7e]+$"),
            BeforeValidator(_strip),
        ]
        | None,
        Header(
            alias="Idempotency-Key",
            description="A request sent again with the same key and body gets the first answer; nothing is done twice.",
            examples=["5e0ed2c6-8c0b-4a3e-a7a5-2f1f5a0e4c1d"],
        ),
    ] = None,
) -> IdempotentRequest | None:
    """Read the idempotency key and the body that belongs to it. None if the caller sent no key."""
    if idempotency_key is None:
        return None
    settings = shared(request, "audit_settings", AuditSettings)
    body = await request.json()
    lifetime = timedelta(hours=settings.idempotency_key_hours)
    return IdempotentRequest(
        endpoint=f"{request.method} {request.scope['route'].path_format}",
        key=idempotency_key,
        payload=body.payload if isinstance(body, SeparateItems) else body,
        expires_at=clock.now() + lifetime,
    )


IdempotencyDep = Annotated[IdempotentRequest | None, Depends(get_idempotent_request)]
"""The request with its idempotency key, so that the caller can repeat it; None if the caller sent no key."""
