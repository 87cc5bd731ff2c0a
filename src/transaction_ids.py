"""PostgreSQL's transaction ids and snapshots: the types of their columns, and a snapshot read as text.

https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
"""

from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType
from typing_extensions import override


class XID8(UserDefinedType[int]):
    """A transaction id that is never used again."""

    cache_ok = True

    @override
    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


class PGSnapshot(UserDefinedType[str]):
    """Which transactions had ended at a moment."""

    cache_ok = True

    @override
    def get_col_spec(self, **_: Any) -> str:
        return "pg_snapshot"


# SQLAlchemy warns of columns whose types it does not know when it reads them from a database.
ischema_names |= {"xid8": XID8, "pg_snapshot": PGSnapshot}


@dataclass(frozen=True)
class Snapshot:
    """Transactions before `end` had ended, but for those `in_flight`; no other had."""

    end: int
    in_flight: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `pg_current_snapshot()` returns as text: `xmin:xmax:xip_list`."""
        _, end, in_flight = text.split(":")
        return cls(int(end), frozenset(map(int, filter(None, in_flight.split(",")))))
