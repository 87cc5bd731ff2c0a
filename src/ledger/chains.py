"""Checks revisions and entries against each other: each revision of a range of records, and each entry of one.

Entries and revisions have the same keys, so one pass in the order of these finds what only one side has. What an
incremental check does not want is passed over by its key alone.
"""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, String, Uuid, and_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from src.audits.models import audit, audit_revision
from src.audits.verify import Predecessor, StoredRevision, check, columns
from src.database import driver_connection
from src.ledger.tiles import WIDTH
from src.statement import Statement

_ROWS_PER_FETCH = 1000
_KEYS_PER_RANGE = 20_000
_FIRST, _LAST = UUID(int=0), UUID(int=2**128 - 1)

_NEXT_BOUNDARY = text("""
    SELECT audit_id FROM audit_revision WHERE audit_id >= CAST(:begin AS uuid) ORDER BY audit_id
    OFFSET :keys LIMIT 1
""")
# Each key with its entry, and with the version before. If `since` is null, all keys are wanted.
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
# The last version of each record tells whether the record is there. The scalar subquery looks it up by its key:
# PostgreSQL could make EXISTS a scan of the whole table, for each range.
_IS_WANTED = text("""
    (CAST(:since AS bigint) IS NULL OR keys.index IS NULL OR NOT keys.is_there OR keys.index >= CAST(:since AS bigint)
        OR keys.index / 256 % CAST(:parts AS integer) = CAST(:part AS integer)
        OR keys.is_last AND (
            (SELECT true FROM audit AS record WHERE record.id = keys.audit_id) IS NULL
        ) <> (keys.operation = 'delete'))
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
_CHAINS = Statement(
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


async def key_ranges(connection: AsyncConnection) -> AsyncIterator[KeyRange]:
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
    driver = await driver_connection(connection)
    # Without a name: a pooler may give the connection to others behind this transaction.
    statement = await driver.prepare(_CHAINS.sql, name="")
    cursor = await statement.cursor(*_CHAINS.arguments({**keys._asdict(), **wanted._asdict()}))
    checker, read = _Checker(), 0
    while rows := await cursor.fetch(_ROWS_PER_FETCH):
        for row in rows:
            read += checker.check(row)
    return read, checker.findings


class _Key(NamedTuple):
    """A key with its entry, whose index is `place`, as `_CHAINS` selects it behind the revision."""

    audit_id: UUID
    version: int
    place: int | None
    operation: str | None
    hash: bytes | None
    is_there: bool
    previous_version: int | None
    previous_operation: str | None
    previous_hash: bytes | None
    previous_index: int | None
    is_last: bool
    should_be_sealed: bool | None


class _Checker:
    """Checks row after row. It knows the version before as it was stored, or else as its entry says."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._last: StoredRevision | None = None

    def check(self, row: asyncpg.Record) -> bool:
        """Whether there is a revision."""
        revision = StoredRevision._make(row[: len(_revision_columns)])
        key = _Key._make(row[len(_revision_columns) :])
        found = [*_check_entry(key, revision)]
        if key.is_there:
            found += check(revision, self._predecessor(key), is_last=key.is_last)
            self._last = revision
        if found:
            self.findings += [Finding(key.audit_id, finding) for finding in found]
        return key.is_there

    def _predecessor(self, key: _Key) -> Predecessor | None:
        if key.previous_version is None:
            return None
        last = self._last
        if last and (last.audit_id, last.version) == (key.audit_id, key.previous_version):
            return Predecessor(last.version, last.operation, last.hash)
        # The version before has no revision, so it is a key because it has an entry.
        assert key.previous_operation is not None
        assert key.previous_hash is not None
        return Predecessor(key.previous_version, key.previous_operation, key.previous_hash)


def _check_entry(key: _Key, revision: StoredRevision) -> Iterator[str]:
    if not key.is_there:
        yield f"version {key.version} is gone: entry {key.place} of the ledger is of it"
    elif key.place is None:
        if key.should_be_sealed:
            yield f"version {key.version} has no entry in the ledger"
    elif key.hash != revision.hash or key.operation != revision.operation:
        yield (
            f"version {key.version} is not what was sealed: "
            f"entry {key.place} of the ledger has another hash or operation"
        )
    if key.place is not None and key.previous_index is not None and key.previous_index > key.place:
        yield (f"version {key.version} is entry {key.place}, before the version before it, entry {key.previous_index}")
