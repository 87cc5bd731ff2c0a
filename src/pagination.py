"""Pages: their limits, how matches are counted, and a page's arithmetic. Knows no FastAPI."""

from enum import StrEnum
from typing import Literal

DEFAULT_LIMIT = 20
MAX_LIMIT = 50
MAX_OFFSET = 10_000
COUNT_CAP = 10_000


class Count(StrEnum):
    CAPPED = "capped"
    EXACT = "exact"
    NONE = "none"


class Order(StrEnum):
    DESC = "desc"
    ASC = "asc"


def count_limit(count: Count) -> int | None:
    """How many matches to look at; None where there is no limit."""
    return COUNT_CAP + 1 if count is Count.CAPPED else None


def relate_total(counted: int | None, count: Count) -> tuple[int | None, Literal["eq", "gte"] | None]:
    """`total` and `total_relation` of a page, out of the number that was counted."""
    if counted is None:
        return None, None
    if count is Count.CAPPED and counted > COUNT_CAP:
        return COUNT_CAP, "gte"
    return counted, "eq"
