"""Texts for a provider hold no invisible characters and no recognisable secrets, and are cut at their limit."""

import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.ai.redaction import MASK, excerpt, mask_secrets, strip_invisible

ENOUGH = 100_000

SECRETS = [
    "sk-proj-4f9aB2cD8eF1gH7iJ3kL",
    "sk_live_4f9aB2cD8eF1gH7iJ3kL",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_4f9aB2cD8eF1gH7iJ3kL5mN6oP",
    "xoxb-1234567890-4f9aB2cD8eF1gH",
    "AIzaSyA4f9aB2cD8eF1gH7iJ3kL5mN6oP7qR8s",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "Bearer 4f9aB2cD8eF1",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
    "password=hunter22",
    'api_key: "hunter22"',
    "password='4f9aB2cD8eF1 hunter22'",
    "AccountKey=hunter22==",
    "Cookie: theme=dark; session=hunter22",
    "Set-Cookie: sid=hunter22; Path=/",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nMIIB\n-----END PGP PRIVATE KEY BLOCK-----",
    "hf_4f9aB2cD8eF1gH7iJ3kL5mN6oP",
    "SG.4f9aB2cD8eF1gH7iJ3kL.5mN6oP",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_strings_that_look_like_secrets_are_masked(secret: str) -> None:
    shown = mask_secrets(f"before {secret} after")
    assert MASK in shown
    assert shown.startswith("before ")
    for part in ("4f9aB2cD8eF1", "AKIAIOS", "eyJhbGci", "MIIB", "hunter22"):
        assert part not in shown


def test_the_password_of_a_url_is_masked_and_its_host_is_kept() -> None:
    assert mask_secrets("postgresql://app:hunter22@db.example/x") == f"postgresql://{MASK}@db.example/x"


@pytest.mark.parametrize(
    "text", ["invoice.update", "u-17", "The author asked for a basic task.", "https://example.com/a?page=2", "task-12"]
)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert mask_secrets(text) == text


SECRET_NAMES = [
    *("password", "userPassword", "DB_PASSWD", "pass\u200bword", "client-secret", "accessToken", "API.Key", "apiKey"),
    *("private_key", "Authorization", "set-cookie", "sessionId", "pin", "card_pin", "otpCode"),
    *("pass", "db_pass", "auth", "jwt", "session", "creditCard", "seed_phrase"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
@pytest.mark.parametrize("value", ["hunter22", 4711, ["hunter22"], {"of": "hunter22"}, True])
def test_members_with_a_secret_name_are_masked_whatever_their_value(name: str, value: Any) -> None:
    shown = json.loads(excerpt({"a": [{name: value, "b": 1}]}, ENOUGH))
    (member,) = shown["a"]
    assert list(member.values()) == [MASK, 1]


@pytest.mark.parametrize(
    "name", ["author", "passed", "spinning", "compass", "keyboard", "monkey", "footprint", "pass_count"]
)
def test_members_with_another_name_are_unchanged(name: str) -> None:
    assert json.loads(excerpt({name: "seen"}, ENOUGH)) == {name: "seen"}


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("a\u202eb\u202cc", "abc"),
        ("z\u200be\u200dr\u2060o\ufeff", "zero"),
        ("t\U000e0041\U000e007fag", "tag"),
        ("v\ufe0fs\U000e0100", "vs"),
        ("line\r\none\ttwo\u2028three", "line one two three"),
        ("\x1b[31mred\x07", "[31mred"),
        ("Zoë, 日本語, עברית 🙂", "Zoë, 日本語, עברית 🙂"),
    ],
)
def test_invisible_characters_are_removed(text: str, visible: str) -> None:
    assert strip_invisible(text) == visible


@given(st.text(st.characters(codec="utf-8")))
def test_no_text_keeps_an_invisible_character(text: str) -> None:
    assert not [c for c in strip_invisible(text) if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.sampled_from("abcd"), max_size=3), inner),
    max_leaves=12,
)


@given(JSON)
def test_an_excerpt_of_a_short_value_is_json_of_the_same_shape(value: Any) -> None:
    def shape(of: Any) -> Any:
        if isinstance(of, dict):
            return {name: shape(item) for name, item in of.items()}
        return [shape(item) for item in of] if isinstance(of, list) else type(of)

    assert shape(json.loads(excerpt(value, ENOUGH))) == shape(value)


@given(JSON, st.integers(0, 40))
def test_an_excerpt_is_cut_at_its_limit(value: Any, limit: int) -> None:
    whole, shown = excerpt(value, ENOUGH), excerpt(value, limit)
    assert shown == whole if len(whole) <= limit else shown == f"{whole[:limit]}…"


def test_secrets_are_masked_before_the_cut() -> None:
    assert "hunter" not in excerpt({"a": "x" * 20, "b": "password=hunter22"}, 45)
    assert "4f9aB2" not in excerpt({"a": "sk-4f9aB2cD8eF1gH7iJ3kL"}, 20)


@pytest.mark.parametrize(
    "text", ["eyJ-", "password", "://a:", "sk-", "-----BEGIN", "a", "bearer ", "cookie:a;", "token='"]
)
def test_hostile_text_is_masked_in_time(text: str) -> None:
    """A pattern that backtracks would take minutes."""
    started = time.perf_counter()
    excerpt({"a": text * (64_000 // len(text)), "b": [text] * 5_000}, 500)
    assert time.perf_counter() - started < 1
