"""Times in requests."""

import re
from datetime import datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from src.schemas import UTCDateTime


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("2016-12-31T23:59:60Z", "is a leap second, which cannot be kept: send second 59"),
        ("2017-01-01T00:59:60.5+01:00", "is a leap second, which cannot be kept: send second 59"),
        ("2026-01-01T24:00:00Z", "must be an RFC 3339 date and time with an offset"),
        ("2026-01-01T00:60:00Z", "must be an RFC 3339 date and time with an offset"),
        ("2026-01-01T00:00:00+24:00", "must be an RFC 3339 date and time with an offset"),
        ("\N{FULLWIDTH DIGIT TWO}026-01-01T00:00:00Z", "must be an RFC 3339 date and time with an offset"),
    ],
)
def test_the_error_of_a_time_says_what_to_send(text: str, advice: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(advice)):
        TypeAdapter[datetime](UTCDateTime).validate_python(text)
