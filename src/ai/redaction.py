"""What of a record may leave for a provider: text that is seen as it is, without what looks like a secret."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json

MASK = "[redacted]"

# Characters: patterns take their time with longer ones.
_LONGEST_TEXT = 4_000

_SPACE = re.compile(r"[\t\n\v\f\r\u0085\u2028\u2029]+")
# Control characters, and Default_Ignorable_Code_Point of Unicode (DerivedCoreProperties.txt): bidirectional controls,
# zero-width characters, variation selectors and tags can hide words from those who read what a model is shown.
_UNSEEN = re.compile(
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


def plain(text: str) -> str:
    """Without characters that are not seen; what breaks lines becomes a space."""
    return _UNSEEN.sub("", _SPACE.sub(" ", text))


def mask(text: str) -> str:
    """Plain, and without what looks like a secret."""
    return _SECRET.sub(MASK, plain(text))


def excerpt(value: Any, limit: int) -> str:
    """A JSON value as JSON text, masked, also what has a secret's name: cut after `limit` characters, with an ellipsis.

    No more of the value is looked at than is shown.
    """
    shown = ""
    for piece in _pieces(value):
        shown += piece
        if len(shown) > limit:
            return f"{shown[:limit]}…"
    return shown


def _pieces(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield _quote(mask(value[:_LONGEST_TEXT]))
        case Mapping():
            yield "{"
            for index, (name, item) in enumerate(value.items()):
                shown = mask(name[:_LONGEST_TEXT])
                yield f"{',' if index else ''}{_quote(shown)}:"
                yield from _pieces(item if item is None or not _names_secret(shown) else MASK)
            yield "}"
        case list():
            yield "["
            for index, item in enumerate(value):
                yield "," if index else ""
                yield from _pieces(item)
            yield "]"
        case _:
            yield to_json(value).decode()


def _quote(text: str) -> str:
    return to_json(text).decode()


def _names_secret(name: str) -> bool:
    """`apiKey`, `API-Key` and `api key` are `api_key`."""
    snake_case = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower()
    return bool(_SECRET_NAME.search(snake_case))
