"""The words and limits of the AI domain."""

from enum import StrEnum
from typing import Literal

MAX_INPUT_LENGTH = 16_000
MAX_INSTRUCTIONS_LENGTH = 4_000
MIN_OUTPUT_TOKENS, DEFAULT_OUTPUT_TOKENS, MAX_OUTPUT_TOKENS = 16, 1_024, 2_048
MAX_TEMPERATURE = 2.0

# An answer of MAX_OUTPUT_TOKENS takes some 20 KiB; as a stream, some 600 KiB: an event for each token.
MAX_PROVIDER_BODY_BYTES = 1024 * 1024
MAX_PROVIDER_STREAM_BYTES = 4 * MAX_PROVIDER_BODY_BYTES

# Which wording made an answer: to be raised whenever what is sent along with the caller's words changes.
PROMPT_VERSION = "responses-1"
QUERY_PROMPT_VERSION = "audit-query-1"
SUMMARY_PROMPT_VERSION = "audit-summary-1"

MAX_QUESTION_LENGTH = 2_000
MAX_FOCUS_LENGTH = 500
DEFAULT_SUMMARY_RECORDS, MAX_SUMMARY_RECORDS = 50, 100
# Characters of a record's details, as JSON, that leave for the provider.
MAX_SHOWN_DETAILS = 500

# Seconds: what a caller is told to wait who is over the rate, where the provider does not say it.
DEFAULT_RETRY_AFTER = 5
# Seconds: a date far ahead is no wait that anybody means.
MAX_RETRY_AFTER = 86_400
# Seconds before a second attempt, where the provider does not say it: a range, so that callers do not return as one.
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
