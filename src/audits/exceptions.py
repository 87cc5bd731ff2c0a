"""The errors of the audits domain."""

from collections.abc import Iterable

from src.audits.constants import MAX_DETAILS_BYTES
from src.exceptions import AppError, NotFound, ValidationFailed


class AuditNotFound(NotFound):
    code, title = "audit-not-found", "There is no such audit record"

    def __init__(self) -> None:
        super().__init__("No record has this id, or it was removed: then its history is still there.")


class IdempotencyKeyReused(AppError):
    status, code, title = 422, "idempotency-key-reused", "The idempotency key belongs to another request"


class EventAlreadyRecorded(AppError):
    status, code, title = 409, "event-already-recorded", "Another record was made of this event"

    def __init__(self, locations: Iterable[tuple[str | int, ...]]) -> None:
        """`locations` says where in the request each record is whose `source` and `event_id` are taken."""
        message = "Its source and event_id belong to a record with other content"
        errors = [{"loc": [*location], "msg": message, "type": "event_already_recorded"} for location in locations]
        super().__init__("Nothing was recorded. Send a new event_id for a new event.", errors=errors)


class DetailsTooLarge(ValidationFailed):
    type, message = "details_too_large", f"Must take at most {MAX_DETAILS_BYTES} bytes as PostgreSQL prints it"

    def __init__(self, locations: Iterable[tuple[str | int, ...]]) -> None:
        """`locations` says where in the request each value is that is too large."""
        super().__init__([{"loc": [*location], "msg": self.message, "type": self.type} for location in locations])
