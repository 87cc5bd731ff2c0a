"""The limits and enumerations of the audits domain."""

from enum import StrEnum

from src.config import API_PREFIX

PATH = f"{API_PREFIX}/audits"

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
# A name, or a prefix such as `invoice.*` for all names that begin with `invoice.`.
NAME_FILTER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*(\.\*)?$"

FIRST_VERSION = 1

MAX_NAME_LENGTH = 128
MAX_TEXT_LENGTH = 256
MAX_CORRELATION_ID_LENGTH = 128
MAX_DETAILS_DEPTH = 32
MAX_DETAILS_BYTES = 64 * 1024
# In a filter.
MAX_AMBIGUOUS_NUMBERS = 4
MAX_MINUTES_AHEAD = 5
MAX_REASON_LENGTH = 512
MAX_BATCH_ITEMS = 1_000
MAX_IDEMPOTENCY_KEY_LENGTH = 255
MAX_COUNTED_ACTIONS = 100


class ActorType(StrEnum):
    USER = "user"
    SYSTEM = "system"
    SERVICE = "service"
    ANONYMOUS = "anonymous"


class AuditStatus(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    PENDING = "pending"


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class ExportFormat(StrEnum):
    NDJSON = "ndjson"
    CSV = "csv"


MEDIA_TYPES = {
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.CSV: "text/csv",
}
