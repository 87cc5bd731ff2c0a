"""Removes from texts what a provider must not get: invisible characters, and strings that look like secrets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json

MASK = "[redacted]"

# Characters. The patterns are slow on longer texts.
_MAX_TEXT_LENGTH = 4_000

_WHITESPACE = re.compile(r"[\t\n\v\f\r\u0085\u2028\u2029]+")
# Control characters, and Default_Ignorable_Code_Point of Unicode (DerivedCoreProperties.txt). Bidirectional controls,
# zero-width characters, variation selectors and tags can hide words from people, and a model still reads them.
_INVISIBLE = re.compile(
    r"[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff]"
)

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase|code)|secret|token|(api|access|private|signing|encryption)_?key|authorization|cookie"
    r"|credential|session_?id|card_?number|credit_?card|mnemonic|seed_?phrase"
    r"|(\b|_)(pwd|csrf|otp|pin|cvv|cvc|ssn|iban)(\b|_)|(\b|_)(pass|pw|auth|bearer|jwt|sid|session)$"
)
_SECRET = re.compile(
    r"""-----BEGIN[ A-Z]*PRIVATE\ KEY[ A-Z]*-----.*?(?:-----END[ A-Z]*PRIVATE\ KEY[ A-Z]*-----|$)
    | \b eyJ[\w-]{8,512} \. [\w-]+ (?: \. [\w-]* )?                    # JSON Web Token
    | \b (?:sk|pk|rk) [-_] [\w-]{12,}                               # OpenAI, Anthropic, Stripe
    | \b (?:AKIA|ASIA) [0-9A-Z]{16} \b                              # AWS
    | \b (?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|npm_|hf_|whsec_|SG\.) [\w.-]{16,}
    | \b AIza [\w-]{30,}                                            # Google
    | \b (?:bearer|basic) \s+ [\w.~+/=-]{8,}
    | \b (?:set-)?cookie \s* : \s* [^\s;]+ (?: ; \s* [^\s;]+ )*
    | (?<=://) [^\s/:@]* : [^\s/@]+ (?=@)                           # in a URL
    | \b (?:\w*(?:passw(?:or)?d|secret|token|(?:api|access|account)[_-]?key)) ["']? \s* [:=] \s*
      (?: "[^"]*" | '[^']*' | ["']? [^\s"',;&]+ )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def strip_invisible(text: str) -> str:
    """Return the text without invisible characters, and with a space for line breaks and tabs."""
    return _INVISIBLE.sub("", _WHITESPACE.sub(" ", text))


def mask_secrets(text: str) -> str:
    """Return the text without invisible characters, and with `MASK` for strings that look like secrets."""
    return _SECRET.sub(MASK, strip_invisible(text))


def excerpt(value: Any, limit: int) -> str:
    """Return a JSON value as JSON text, cut after `limit` characters with an ellipsis.

    `MASK` replaces strings that look like secrets, and the values of members with a secret's name. Reads no more of the
    value than it returns.
    """
    text = ""
    for piece in _json_pieces(value):
        text += piece
        if len(text) > limit:
            return f"{text[:limit]}…"
    return text


def _json_pieces(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield _quote(mask_secrets(value[:_MAX_TEXT_LENGTH]))
        case Mapping():
            yield "{"
            for index, (name, item) in enumerate(value.items()):
                masked = mask_secrets(name[:_MAX_TEXT_LENGTH])
                yield f"{',' if index else ''}{_quote(masked)}:"
                yield from _json_pieces(item if item is None or not _is_secret_name(masked) else MASK)
            yield "}"
        case list():
            yield "["
            for index, item in enumerate(value):
                yield "," if index else ""
                yield from _json_pieces(item)
            yield "]"
        case _:
            yield to_json(value).decode()


def _quote(text: str) -> str:
    return to_json(text).decode()


def _is_secret_name(name: str) -> bool:
    """Compares names in snake case: `apiKey`, `API-Key` and `api key` are `api_key`."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower()
    return bool(_SECRET_NAME.search(snake_case))
