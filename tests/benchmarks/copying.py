"""What a batch is measured against: a raw COPY of the same rows and their revisions, made ready beforehand."""

import asyncio
import json
import time
from datetime import datetime
from typing import Any

import asyncpg

from src import clock
from src.audits.constants import Operation
from src.audits.models import audit
from src.audits.revisions import Attribution, Revision, seal
from src.audits.schemas import Audit
from src.identifiers import new_id
from tests.benchmarks.servers import driver_url

_DEFAULTS = {"actor_type": "user", "status": "success", "version": 1}
_TIMES = ("occurred_at", "recorded_at", "updated_at")


def copy(database_url: str, record: dict[str, Any], count: int) -> float:
    """How many seconds it takes."""
    return asyncio.run(_copy(database_url, [_revision(record) for _ in range(count)]))


def _revision(record: dict[str, Any]) -> Revision:
    now = clock.now()
    whole = _DEFAULTS | dict.fromkeys(_TIMES, now) | record | {"id": new_id()}
    # As the service writes it: verification looks closer at what is written otherwise.
    return seal(Audit.model_validate(whole).model_dump(mode="json"), Operation.CREATE, Attribution(), now, None)


async def _copy(database_url: str, revisions: list[Revision]) -> float:
    names = [column.name for column in audit.c]
    rows = [tuple(map(_row(revision).get, names)) for revision in revisions]
    revision_rows = [
        tuple(value if name != "record" else json.dumps(value) for name, value in vars(revision).items())
        for revision in revisions
    ]
    connection = await asyncpg.connect(driver_url(database_url))
    try:
        started = time.perf_counter()
        async with connection.transaction():
            await connection.copy_records_to_table("audit", records=rows, columns=names)
            await connection.copy_records_to_table(
                "audit_revision", records=revision_rows, columns=list(vars(revisions[0]))
            )
        return time.perf_counter() - started
    finally:
        await connection.close()


def _row(revision: Revision) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(revision.record[name]) for name in _TIMES}
    return revision.record | times | {"details": json.dumps(revision.record["details"]), "hash": revision.hash}
