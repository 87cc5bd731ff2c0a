"""What can be wrong with a request about audit records."""

from src.audits.constants import MAX_DETAILS_BYTES
from src.exceptions import NotFound, ValidationFailed


class AuditNotFound(NotFound):
    code, title = "audit-not-found", "There is no such audit record"


class DetailsTooLarge(ValidationFailed):
    def __init__(self) -> None:
        message = f"Must take at most {MAX_DETAILS_BYTES} bytes as PostgreSQL prints it"
        super().__init__([{"loc": ["body", "details"], "msg": message, "type": "details_too_large"}])
