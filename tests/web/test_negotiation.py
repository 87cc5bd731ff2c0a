"""Which media type is preferred, by the rules and the examples of RFC 9110, 12.5.1."""

import pytest

from src.web.negotiation import prefers


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/plain", True),
        ("TEXT/Plain", True),
        ("text/*", True),
        ("text/plain; charset=utf-8", True),
        ("text/plain;format=flowed;q=0.5", True),
        ("text/html, text/plain;q=0.2", True),
        ("text/plain, */*;q=0.8", True),
        ("*/*, application/json;q=0.1", True),
        ("application/*;q=0.5, text/plain;Q=0.51", True),
        (" text/plain ,, ", True),
        ("text/*, application/json;q=0.999", True),
        ("text/plain;q=0.001", True),
        ("", False),
        ("*/*", False),
        ("text/plain;q=0", False),
        ("text/plain;q=0.000", False),
        ("text/*, text/plain;q=0", False),
        ("*/*, text/plain;q=0.9", False),
        ("application/json, text/plain", False),
        ("application/json, text/*", False),
        ("text/plain;q=0.8, application/json;q=0.9", False),
        ("text/plainx, x-text/plain, text/html", False),
        ("text/plain;q=1.5", False),
        ("text/plain;q=x", False),
        ("text/plain;q=0.1234", False),
        ("text", False),
    ],
)
def test_a_type_is_preferred_by_its_weight_and_by_the_most_exact_range(accept: str, expected: bool) -> None:
    assert prefers(accept, "text/plain", "application/json") is expected
