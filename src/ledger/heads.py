"""What was published last: the latest checkpoint, or without a key all that is sealed."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from src.database import AutocommitConnection
from src.ledger.config import LedgerSettings
from src.ledger.exceptions import LedgerMissing
from src.ledger.merkle import EMPTY_ROOT
from src.ledger.witnesses import PUBLISHED_AFTER_SECONDS
from src.statement import Statement

_HEAD = Statement(text("SELECT size, root FROM ledger"))
_SIGNED_HEAD = Statement(
    text("""
    SELECT size, root, note FROM ledger_checkpoint WHERE origin = :origin ORDER BY size DESC LIMIT 1
""")
)
# The latest that has its quorum, or that has waited for it long enough.
_WITNESSED_HEAD = Statement(
    text(f"""
    SELECT size, root, note || coalesce(lines, '') AS note FROM ledger_checkpoint AS checkpoint CROSS JOIN LATERAL (
        SELECT count(*) AS cosignatures, string_agg(line, '' ORDER BY witness) AS lines
        FROM ledger_cosignature AS cosignature
        WHERE cosignature.origin = checkpoint.origin AND cosignature.size = checkpoint.size
            AND witness = ANY(CAST(:keys AS text[]))
    ) AS witnessed
    WHERE origin = :origin AND (
        cosignatures >= :quorum OR created_at < now() - interval '{PUBLISHED_AFTER_SECONDS} s'
    )
    ORDER BY size DESC LIMIT 1
""")
)


@dataclass(frozen=True)
class Head:
    """The size and the root that were published, and the checkpoint that says so; None without a key."""

    size: int
    root: bytes
    note: str | None


async def get_head(connection: AutocommitConnection, settings: LedgerSettings) -> Head:
    """What was published last. Before the first checkpoint that is the empty ledger. Raises `LedgerMissing`."""
    if not settings.ledger_key:
        return Head(*await get_sealed(connection), None)
    parameters: dict[str, Any] = {"origin": settings.ledger_origin}
    if settings.witnesses:
        parameters |= {"quorum": settings.quorum, "keys": [str(witness.key) for witness in settings.witnesses]}
    statement = _WITNESSED_HEAD if settings.witnesses else _SIGNED_HEAD
    for size, root, note in await connection.fetch(statement, **parameters):
        return Head(size, root, note)
    return Head(0, EMPTY_ROOT, None)


async def get_sealed(connection: AutocommitConnection) -> tuple[int, bytes]:
    """The size and the root of all that is sealed, published or not. Raises `LedgerMissing`."""
    for size, root in await connection.fetch(_HEAD):
        return size, root
    raise LedgerMissing
