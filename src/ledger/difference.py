"""Which revisions are new: those that one snapshot sees and an earlier one did not.

Nothing else is safe. Sequences, times and transaction ids do not follow the order of commits: version 2 of a record can
have a smaller transaction id than version 1, if its transaction began early and wrote late.
"""

from collections.abc import Iterable
from typing import Any

from src.transaction_ids import Snapshot

# Not pg_visible_in_snapshot(), with which PostgreSQL would read every row since the oldest open transaction.
_BEGIN, _END = "CAST(CAST(:begin AS text) AS xid8)", "CAST(CAST(:end AS text) AS xid8)"
_HAS_ENDED = "xid <> ALL(CAST(CAST(:still_in_flight AS text) AS xid8[]))"

WAS_IN_FLIGHT = f"xid = ANY(CAST(CAST(:in_flight AS text) AS xid8[])) AND {_HAS_ENDED}"
IS_LATER = f"xid >= {_BEGIN} AND xid < {_END} AND {_HAS_ENDED}"
PREDICATE = f"({WAS_IN_FLIGHT} OR {IS_LATER})"
"""What is true of the revisions that are new. Its parameters, and those of its parts, are `parameters`."""


def parameters(seen: str, target: str) -> dict[str, Any]:
    """The parameters of `PREDICATE` for what the snapshot `target` sees and the earlier one `seen` did not."""
    before, after = Snapshot.parse(seen), Snapshot.parse(target)
    return {
        "in_flight": _as_array(before.in_flight),
        "begin": str(before.end),
        "end": str(after.end),
        "still_in_flight": _as_array(after.in_flight),
    }


def _as_array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"
