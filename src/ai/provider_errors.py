"""Maps the provider's errors to those of the domain: https://platform.openai.com/docs/guides/error-codes

Servers of models that people run themselves have codes of their own, and some say in words alone what is wrong.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from src import clock
from src.ai.constants import MAX_RETRY_AFTER
from src.ai.exceptions import (
    AIContentRejected,
    AIError,
    AIInputTooLarge,
    AIInvalidProviderResponse,
    AIModelUnavailable,
    AIProviderAuthenticationFailed,
    AIProviderGaveUp,
    AIProviderPermissionDenied,
    AIProviderRejectedRequest,
    AIProviderUnavailable,
    AIQuotaExhausted,
    AIRateLimited,
    TransientFailure,
)

Headers = Mapping[str, str]

# The provider uses these values as an error's `code` or as its `type`.
_QUOTA_EXHAUSTED = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "project_spend_limit_exceeded",
}
_INPUT_TOO_LARGE = {
    "context_length_exceeded",
    "string_above_max_length",
    # llama.cpp, in earlier versions with status 500.
    "exceed_context_size_error",
}
# vLLM names the parameter that is too large; other versions only say so, each in its words. LiteLLM names the class of
# its error and quotes the server behind it.
_INPUT_TOO_LARGE_PARAMETERS = ("input_tokens", "input_text")
_INPUT_TOO_LARGE_WORDS = re.compile(
    r"\bContextWindowExceededError\b|maximum context length is|exceeds the available context size"
    r"|exceeds the max_model_len|is longer than the maximum model length of"
)
_CONTENT_REJECTED = {
    "bio_policy",
    "content_filter",
    "content_policy_violation",
    "cyber_policy",
    "invalid_prompt",
    "misalignment_policy_violation",
    "moderation_blocked",
}
_MODEL_NOT_FOUND = "model_not_found"
# LiteLLM.
_MODEL_NOT_FOUND_WORDS = re.compile(r"Invalid model name passed in|There is no 'model_name' with this string")
# Of an error without a code: with one these may be words of the prompt.
_NO_SUCH_MODEL_WORDS = re.compile(r"\bmodel\b[^\n]{0,200}\b(?:not found|does not exist)")
# llama.cpp, for a path that it does not have.
_NO_SUCH_API = "File Not Found"
# LiteLLM, which looks in a database for each key that is not its own.
_WRONG_KEY = "no_db_connection"
_STATUS_BY_CODE = {
    "rate_limit_exceeded": HTTPStatus.TOO_MANY_REQUESTS,
    "rate_limit_error": HTTPStatus.TOO_MANY_REQUESTS,
    "server_error": HTTPStatus.BAD_GATEWAY,
    "internal_server_error": HTTPStatus.BAD_GATEWAY,
    "InternalServerError": HTTPStatus.BAD_GATEWAY,
    "overloaded_error": HTTPStatus.SERVICE_UNAVAILABLE,
    "invalid_api_key": HTTPStatus.UNAUTHORIZED,
    "authentication_error": HTTPStatus.UNAUTHORIZED,
}

_ERROR_STATUS = re.compile(r"[45]\d\d")
_NUMBER = re.compile(r"\d{1,9}(\.\d+)?")


def error_from_body(headers: Headers, error: object) -> AIError | TransientFailure:
    """Map an error in the body of a 200 or in an event of a stream, as if it had come with the status of its code.

    `error` is an object with `code` and `type`, usually; some servers use a status as `code`, and some send a text, or
    nothing. If it does not say what is wrong, it is a failure of the provider.
    """
    codes = _codes(error)
    status = next((status for code, status in _STATUS_BY_CODE.items() if code in codes), None)
    is_understood = bool(codes) or _is_input_too_large(HTTPStatus.BAD_REQUEST, error) or _is_model_not_found(error)
    guess = HTTPStatus.BAD_REQUEST if is_understood else HTTPStatus.BAD_GATEWAY
    return error_from_status(status or _status_as_code(error) or guess, headers, error)


def _status_as_code(error: object) -> int | None:
    code = str(error.get("code")) if isinstance(error, Mapping) else ""
    return int(code) if _ERROR_STATUS.fullmatch(code) else None


def error_from_status(status: int, headers: Headers, error: object) -> AIError | TransientFailure:
    """Map an error that came with this status, which is no 2xx. `error` is an object with `code` and `type`, usually.

    Returns a `TransientFailure` if another attempt may succeed.
    """
    delay = parse_retry_after(headers)
    if _is_input_too_large(status, error):
        return AIInputTooLarge("Send a shorter input or shorter instructions, or set a smaller max_output_tokens.")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        unavailable = AIProviderUnavailable("The AI provider failed. Try again later.", _whole_seconds(delay))
        return TransientFailure(unavailable, delay)
    if status < HTTPStatus.BAD_REQUEST:
        return AIInvalidProviderResponse("The AI provider redirects. The operator has to correct OPENAI_BASE_URL.")
    return _client_error(status, delay, error)


def _client_error(status: int, delay: float | None, error: object) -> AIError | TransientFailure:
    codes = _codes(error)
    if codes & _QUOTA_EXHAUSTED or status == HTTPStatus.PAYMENT_REQUIRED:
        return AIQuotaExhausted("The operator of this service has to see to the provider's billing.")
    if _WRONG_KEY in codes:
        return _wrong_key()
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return _wrong_key()
        case HTTPStatus.FORBIDDEN:
            return AIProviderPermissionDenied("The operator has to give this service's key the permission.")
        case HTTPStatus.NOT_FOUND:
            return _not_found(error)
        case HTTPStatus.REQUEST_TIMEOUT:
            gave_up = AIProviderGaveUp("The AI provider gave up. Try again.", _whole_seconds(delay))
            return TransientFailure(gave_up, delay)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return _rate_limited(delay)
        case _:
            return _rejected(codes, error)


def _wrong_key() -> AIError:
    return AIProviderAuthenticationFailed("The operator of this service has to correct OPENAI_API_KEY.")


def _rate_limited(delay: float | None) -> AIError | TransientFailure:
    """Allow another attempt only if the provider says when: retries at a guessed time would add to its load."""
    if delay is None:
        return AIRateLimited(f"Try again after {AIRateLimited.retry_after} seconds.")
    error = AIRateLimited(f"Try again after {_whole_seconds(delay)} seconds.", _whole_seconds(delay))
    return TransientFailure(error, delay)


def _not_found(error: object) -> AIError:
    """An API that lacks the model answers with an error object; any other 404 does not come from an API."""
    is_of_api = isinstance(error, Mapping) and ("message" in error or "code" in error)
    if (is_of_api and _message(error) != _NO_SUCH_API) or _is_model_not_found(error):
        return _model_unavailable()
    return AIInvalidProviderResponse("There is no such API. The operator has to correct OPENAI_BASE_URL.")


def _is_input_too_large(status: int, error: object) -> bool:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or _codes(error) & _INPUT_TOO_LARGE:
        return True
    if status != HTTPStatus.BAD_REQUEST:
        return False
    if isinstance(error, Mapping) and error.get("param") in _INPUT_TOO_LARGE_PARAMETERS:
        return True
    return bool(_INPUT_TOO_LARGE_WORDS.search(_message(error)))


def _is_model_not_found(error: object) -> bool:
    codes, message = _codes(error), _message(error)
    if _MODEL_NOT_FOUND in codes or _MODEL_NOT_FOUND_WORDS.search(message):
        return True
    return not codes and bool(_NO_SUCH_MODEL_WORDS.search(message))


def _rejected(codes: set[str], error: object) -> AIError:
    if codes & _CONTENT_REJECTED:
        return AIContentRejected("The same input is rejected again.")
    if _is_model_not_found(error):
        return _model_unavailable()
    return AIProviderRejectedRequest()


def _model_unavailable() -> AIModelUnavailable:
    return AIModelUnavailable("The operator of this service has to set AI_MODEL to a model that the provider offers.")


def _codes(error: object) -> set[str]:
    """Return the error's `code` and `type`, where these are strings."""
    if not isinstance(error, Mapping):
        return set()
    return {value for name in ("code", "type") if isinstance(value := error.get(name), str)}


def _message(error: object) -> str:
    """Return the error's `message`, or the error itself if it is a text; else an empty one."""
    message = error.get("message") if isinstance(error, Mapping) else error
    return message if isinstance(message, str) else ""


def parse_retry_after(headers: Headers) -> float | None:
    """Return the seconds to wait, from `retry-after-ms` or `Retry-After` (RFC 9110, 10.2.3: seconds or a date).

    Returns None if neither header has a valid value.
    """
    milliseconds, after = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    return float(after) if _NUMBER.fullmatch(after) else _seconds_until(after)


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - clock.now()).total_seconds())


def _whole_seconds(delay: float | None) -> int | None:
    """Round up, to at least 1 and at most `MAX_RETRY_AFTER`."""
    return None if delay is None else min(max(1, math.ceil(delay)), MAX_RETRY_AFTER)
