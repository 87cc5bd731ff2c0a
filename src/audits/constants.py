"""The limits and enumerations of the audits domain."""

from enum import StrEnum

from src.batches import MAX_ITEMS
from src.config import API_PREFIX

PATH = f"{API_PREFIX}/audits"

# For the OpenAPI document. Unicode's spaces (White_Space) that are no control characters, and control characters.
_SPACES = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
_LAST = f"[^{_CONTROLS}{_SPACES}*]"
NAME_PATTERN = f"^(?:[^{_CONTROLS}{_SPACES}][^{_CONTROLS}]*)?{_LAST}$"
PREFIX_MARK = "*"
# A name, or a prefix such as `invoice.*` for all names that begin with `invoice.`.
NAME_FILTER_PATTERN = rf"^[^{_CONTROLS}{_SPACES}][^{_CONTROLS}]*\*$|{NAME_PATTERN}"

FIRST_VERSION = 1
# The largest integer that its column holds.
MAX_VERSION = 2**31 - 1

# How often a write starts again when other writers were faster. A trigger that prevents it would do so for ever.
MAX_ATTEMPTS = 50

MAX_NAME_LENGTH = 256
MAX_ID_LENGTH = 1_024
# As UTF-8. An entry of a B-tree takes at most 2,704 bytes, with `occurred_at` and `id` beside the value.
MAX_ID_BYTES = 2_000
MAX_TEXT_LENGTH = 256
MAX_CORRELATION_ID_LENGTH = 128
MAX_DETAILS_DEPTH = 32
MAX_DETAILS_BYTES = 64 * 1024
# In a filter.
MAX_AMBIGUOUS_NUMBERS = 4
MAX_MINUTES_AHEAD = 5
MAX_REASON_LENGTH = 512
MAX_BATCH_ITEMS = MAX_ITEMS
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
    # NDJSON of OCSF events.
    OCSF = "ocsf"


MEDIA_TYPES = {
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.CSV: "text/csv",
    ExportFormat.OCSF: "application/x-ndjson",
}
