"""Checks revisions and entries against each other: each revision of a range of records, and each entry of one.

Entries and revisions have the same keys, so one pass in the order of these finds what only one side has. What an
incremental check does not want is passed over by its key alone.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Row, String, Uuid, and_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from src.audits.models import audit, audit_revision
from src.audits.verify import Predecessor, StoredRevision, check, columns
from src.ledger.tiles import WIDTH

_ROWS_PER_FETCH = 1000
_KEYS_PER_RANGE = 20_000
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)

_NEXT_BOUNDARY = text("""
    SELECT audit_id FROM audit_revision WHERE audit_id >= CAST(:begin AS uuid) ORDER BY audit_id
    OFFSET :keys LIMIT 1
""")
# Each key with its entry, and what it follows. A null in `since` wants all of them.
_KEYS = (
    text("""
        SELECT audit_id, version, index, operation, hash, is_there,
            lag(version) OVER chain AS previous_version, lag(operation) OVER chain AS previous_operation,
            lag(hash) OVER chain AS previous_hash, lag(index) OVER chain AS previous_index,
            lead(version) OVER chain IS NULL AS is_last
        FROM (
            SELECT audit_id, version, entry.index, entry.operation, entry.hash,
                revision.is_there IS NOT NULL AS is_there
            FROM (
                SELECT audit_id, version, true AS is_there FROM audit_revision
                WHERE audit_id >= CAST(:begin AS uuid) AND audit_id <= CAST(:until AS uuid)
            ) AS revision FULL JOIN (
                SELECT * FROM ledger_entry WHERE audit_id >= CAST(:begin AS uuid) AND audit_id <= CAST(:until AS uuid)
            ) AS entry USING (audit_id, version)
        ) AS keys
        WINDOW chain AS (PARTITION BY audit_id ORDER BY version)
    """)
    .columns(
        audit_id=Uuid,
        version=Integer,
        index=BigInteger,
        operation=String,
        hash=LargeBinary,
        is_there=Boolean,
        previous_version=Integer,
        previous_operation=String,
        previous_hash=LargeBinary,
        previous_index=BigInteger,
        is_last=Boolean,
    )
    .cte("keys")
)
_IS_WANTED = text("""
    (CAST(:since AS bigint) IS NULL OR keys.index IS NULL OR NOT keys.is_there OR keys.index >= CAST(:since AS bigint)
        OR keys.index / 256 % CAST(:parts AS integer) = CAST(:part AS integer))
""")
# The ledger has seen the transaction of the revision, or can never see it.
_SHOULD_BE_SEALED = text("""
    (keys.index IS NULL AND CAST(:seen AS text) IS NOT NULL AND (
        audit_revision.xid IS NULL
        OR pg_visible_in_snapshot(audit_revision.xid, CAST(CAST(:seen AS text) AS pg_snapshot))
        OR audit_revision.xid >= pg_snapshot_xmax(pg_current_snapshot())
    )) AS should_be_sealed
""")
_revision_columns = columns(_KEYS.c.is_last)
_CHAINS = (
    select(*_revision_columns, *(column.label(f"key_{column.name}") for column in _KEYS.c), _SHOULD_BE_SEALED)
    .select_from(
        _KEYS.outerjoin(
            audit_revision,
            and_(audit_revision.c.audit_id == _KEYS.c.audit_id, audit_revision.c.version == _KEYS.c.version),
        ).outerjoin(audit, and_(audit.c.id == _KEYS.c.audit_id, _KEYS.c.is_last))
    )
    .where(_IS_WANTED)
    .order_by(_KEYS.c.audit_id, _KEYS.c.version)
)


class Wanted(NamedTuple):
    """Which entries are read, and so which revisions.

    With `since`, those from this index on, and of the tiles before it each one whose number leaves the rest `part` when
    it is divided by `parts`. Without, all. `seen` is the snapshot of which every revision must have its entry.
    """

    since: int | None
    part: int
    parts: int
    seen: str | None

    def has_tile(self, number: int) -> bool:
        """Whether the entries under this tile of level 0 are read."""
        return self.since is None or (number + 1) * WIDTH > self.since or number % self.parts == self.part


class KeyRange(NamedTuple):
    """The ids from `begin` to `until`, both of them included."""

    begin: UUID
    until: UUID


class Finding(NamedTuple):
    """`subject` is the id of a record, or `ledger`."""

    subject: UUID | str
    text: str


async def split(connection: AsyncConnection) -> AsyncIterator[KeyRange]:
    """All ids, in ranges of some 20,000 revisions each; a record is never cut."""
    begin = _FIRST
    while until := await connection.scalar(_NEXT_BOUNDARY, {"begin": begin, "keys": _KEYS_PER_RANGE}):
        if until == _LAST:
            break
        yield KeyRange(begin, until)
        begin = UUID(int=until.int + 1)
    yield KeyRange(begin, _LAST)


async def check_chains(connection: AsyncConnection, wanted: Wanted, keys: KeyRange) -> tuple[int, list[Finding]]:
    """How many revisions were read, and what was found."""
    parameters = {**keys._asdict(), **wanted._asdict()}
    result = await connection.stream(_CHAINS, parameters, execution_options={"yield_per": _ROWS_PER_FETCH})
    checker, findings, read = _Checker(), list[Finding](), 0
    async for rows in result.partitions():
        for row in rows:
            findings += [Finding(row.key_audit_id, finding) for finding in checker.check(row)]
            read += row.key_is_there
    return read, findings


class _Checker:
    """Checks row after row. Of the version before it knows what was stored, or else what the ledger says of it."""

    def __init__(self) -> None:
        self._last: StoredRevision | None = None

    def check(self, row: Row[*tuple[Any, ...]]) -> Iterator[str]:
        yield from _check_entry(row)
        if not row.key_is_there:
            return
        revision = StoredRevision._make(row[: len(_revision_columns)])
        yield from check(revision, self._predecessor(row), is_last=row.key_is_last)
        self._last = revision

    def _predecessor(self, row: Row[*tuple[Any, ...]]) -> Predecessor | None:
        if row.key_previous_version is None:
            return None
        last = self._last
        if last and (last.audit_id, last.version) == (row.key_audit_id, row.key_previous_version):
            return Predecessor(last.version, last.operation, last.hash)
        return Predecessor(row.key_previous_version, row.key_previous_operation, row.key_previous_hash)


def _check_entry(row: Row[*tuple[Any, ...]]) -> Iterator[str]:
    version, index = row.key_version, row.key_index
    if not row.key_is_there:
        yield f"version {version} is gone: entry {index} of the ledger is of it"
    elif index is None:
        if row.should_be_sealed:
            yield f"version {version} has no entry in the ledger"
    elif (row.key_operation, row.key_hash) != (row.operation, row.hash):
        yield f"version {version} is not what was sealed: entry {index} of the ledger has another hash or operation"
    if index is not None and row.key_previous_index is not None and row.key_previous_index > index:
        yield f"version {version} is entry {index}, before the version before it, entry {row.key_previous_index}"
