"""Limits, defaults and enumerations of the AI domain."""

from enum import StrEnum
from typing import Literal

MAX_INPUT_LENGTH = 16_000
MAX_INSTRUCTIONS_LENGTH = 4_000
MIN_OUTPUT_TOKENS, DEFAULT_OUTPUT_TOKENS, MAX_OUTPUT_TOKENS = 16, 1_024, 2_048
MAX_TEMPERATURE = 2.0

# An answer of MAX_OUTPUT_TOKENS takes some 20 KiB, and some 600 KiB as a stream, which has an event for each token.
MAX_PROVIDER_BODY_BYTES = 1024 * 1024
MAX_PROVIDER_STREAM_BYTES = 4 * MAX_PROVIDER_BODY_BYTES

# Sent to callers with each answer. Raise one whenever its instructions or its output format change.
PROMPT_VERSION = "responses-1"
QUERY_PROMPT_VERSION = "audit-query-3"
SUMMARY_PROMPT_VERSION = "audit-summary-2"

MAX_QUESTION_LENGTH = 2_000
MAX_FOCUS_LENGTH = 500
# How many parts of a question an answer names that no filter can express.
MAX_UNSUPPORTED = 20
DEFAULT_SUMMARY_RECORDS, MAX_SUMMARY_RECORDS = 50, 100
# How many characters of a record's details, as JSON, the provider is sent.
MAX_SHOWN_DETAILS = 500

# Seconds that a caller over the rate limit is told to wait if the provider names no time.
DEFAULT_RETRY_AFTER = 5
# Seconds. A provider that names a longer wait has made a mistake.
MAX_RETRY_AFTER = 86_400
# Seconds before another attempt if the provider names no time. A random delay in this range spreads the attempts.
RETRY_DELAY = (0.05, 0.15)

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class CompletionStatus(StrEnum):
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    REFUSED = "refused"


class FinishReason(StrEnum):
    STOP = "stop"
    MAX_OUTPUT_TOKENS = "max_output_tokens"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    OTHER = "other"
