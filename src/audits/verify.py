"""`python -m src.audits.verify`: recompute every hash and chain of the audit trail.

Each finding is a line on stdout that names the record; progress goes to stderr. The exit status is 1 where there are
findings. Memory stays constant: revisions are read in the order of their chains, from one snapshot.

What this cannot show is a whole chain rewritten, or removed together with its record, by someone who owns the database.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from src.audits.constants import Operation
from src.audits.models import audit, audit_revision
from src.audits.revisions import Revision, canonicalize, compute_hash
from src.audits.schemas import Audit
from src.audits.statements import AS_JSON
from src.config import DatabaseSettings
from src.database import create_stream_engine

_STREAMED = {"yield_per": 500}
_PROGRESS_EVERY = 100_000

_COLUMNS = [column.name for column in audit_revision.c]
_REVISIONS = (
    select(
        *audit_revision.c,
        # json_build_object makes an object of nulls where the join finds nothing.
        case((audit.c.id.is_not(None), AS_JSON)).label("present"),
        audit.c.hash.label("present_hash"),
    )
    .select_from(audit_revision.outerjoin(audit, audit.c.id == audit_revision.c.audit_id))
    .order_by(audit_revision.c.audit_id, audit_revision.c.version)
)
_WITHOUT_REVISION = select(audit.c.id).where(
    ~select(audit_revision.c.audit_id).where(audit_revision.c.audit_id == audit.c.id).exists()
)


class Chain:
    """The revisions of one record, taken one by one, and what does not agree among them."""

    def __init__(self, audit_id: UUID, present: str | None, present_hash: bytes | None) -> None:
        self.audit_id = audit_id
        self.findings: list[str] = []
        self._present = present
        self._present_hash = present_hash
        self._last: Revision | None = None

    def add(self, revision: Revision) -> None:
        last, self._last = self._last, revision
        self.findings += _judge(revision, last)

    def end(self) -> None:
        """Compare what the chain says last with the record that is there, or is not."""
        if self._last is None:
            return
        deleted = self._last.operation is Operation.DELETE
        if self._present is None and not deleted:
            self.findings.append("the record is gone, and no revision says that it was deleted")
        if self._present is not None and deleted:
            self.findings.append("the record is there, although its last revision deleted it")
        if self._present is not None and not deleted:
            self.findings += _compare(self._last, self._present, self._present_hash)


def _judge(revision: Revision, last: Revision | None) -> Iterator[str]:
    if compute_hash(revision) != revision.hash:
        yield f"version {revision.version} is not what was recorded: its hash does not agree"
    if revision.previous_hash != (last.hash if last else None):
        yield f"version {revision.version} does not follow the one before: its previous hash does not agree"
    if last and revision.version != last.version + 1:
        yield f"{_between(last.version, revision.version)} is missing"
    if last and last.operation is Operation.DELETE:
        yield f"version {revision.version} comes after the deletion"
    if (last is None) != (revision.operation is Operation.CREATE):
        yield f"version {revision.version} is a {revision.operation}" + ("" if last else ": the first is missing")


def _compare(last: Revision, present: str, present_hash: bytes | None) -> Iterator[str]:
    if present_hash != last.hash:
        yield f"the record does not point to version {last.version}: a later revision is missing, or it was changed"
    if _normalize(Audit.model_validate_json(present)) != _snapshot(last):
        yield f"the record is not what version {last.version} says"


def _between(before: int, after: int) -> str:
    return f"version {before + 1}" if after == before + 2 else f"a version between {before} and {after}"


def _normalize(record: Audit) -> bytes:
    return canonicalize(record.model_dump(mode="json"))


def _snapshot(revision: Revision) -> bytes | None:
    try:
        return _normalize(Audit.model_validate(revision.record))
    except ValidationError:
        return None


async def verify(connection: AsyncConnection) -> AsyncIterator[tuple[UUID, str]]:
    """Each record that does not agree, and why."""
    async for chain in _chains(connection):
        for finding in chain.findings:
            yield chain.audit_id, finding
    async for audit_id in await connection.stream_scalars(_WITHOUT_REVISION, execution_options=_STREAMED):
        yield audit_id, "the record has no revision"


async def _chains(connection: AsyncConnection) -> AsyncIterator[Chain]:
    chain, count = None, 0
    async for row in (await connection.stream(_REVISIONS, execution_options=_STREAMED)).mappings():
        if chain is None or chain.audit_id != row["audit_id"]:
            if chain:
                chain.end()
                yield chain
            chain = Chain(row["audit_id"], row["present"], row["present_hash"])
        chain.add(Revision(**{name: row[name] for name in _COLUMNS} | {"operation": Operation(row["operation"])}))
        count += 1
        if count % _PROGRESS_EVERY == 0:
            _report(f"{count} revisions read")
    if chain:
        chain.end()
        yield chain
    _report(f"{count} revisions read, all of them")


def _report(progress: str) -> None:
    print(f"verify: {progress}", file=sys.stderr, flush=True)


async def main() -> int:
    engine = create_stream_engine(DatabaseSettings.load())
    findings = 0
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async for audit_id, finding in verify(connection):
            print(f"{audit_id}: {finding}", flush=True)
            findings += 1
    await engine.dispose()
    _report(f"findings: {findings}" if findings else "every hash and chain agrees")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
