"""`python -m scripts.seed [ROWS]`: fill the trail with a believable story, for whoever wants to try the service.

It records through the service's own functions, so revisions, hashes and events are as the service writes them. A second
run adds nothing, and one with a larger number adds the rest: each record is an event with a number
(`scripts/seed_story.py`), and each change names the version that it changes. What an interrupted run has left undone,
the next one does.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice

from alembic import command
from alembic.config import Config

from scripts.seed_episode import DAYS, SOURCE, Change, Entry
from scripts.seed_story import tell
from src import clock
from src.audits import events, service
from src.audits.constants import FIRST_VERSION
from src.audits.exceptions import AuditNotFound, EventAlreadyRecorded
from src.audits.revisions import Attribution
from src.audits.schemas import Audit, AuditPatch, AuditReplace
from src.config import PROJECT_ROOT, AppSettings, DatabaseSettings, Environment
from src.database import AutocommitConnection
from src.engines import create_pool
from src.etags import IfMatch
from src.exceptions import VersionMismatch
from src.job_errors import exit_with_one_line

_BATCH = 500
_PROGRESS_EVERY = 10_000
# Nobody waits for an answer here, so a slow machine may take its time.
_STATEMENT_SECONDS = 60


async def seed(settings: DatabaseSettings, rows: int) -> Counter[str]:
    """Record the first `rows` entries of the story, and change them as it says. Counts what was new."""
    limits = {"database_statement_timeout": _STATEMENT_SECONDS, "database_command_timeout": _STATEMENT_SECONDS + 1}
    pool = create_pool(settings.model_copy(update=limits))
    try:
        return await _tell(AutocommitConnection(pool), rows)
    finally:
        await pool.dispose()


async def _tell(connection: AutocommitConnection, rows: int) -> Counter[str]:
    story = tell(await _find_end(connection))
    new: Counter[str] = Counter()
    for done in range(0, rows, _BATCH):
        if done and done % _PROGRESS_EVERY == 0:
            print(f"seed: {done:,} of {rows:,} records", file=sys.stderr)
        new += await _record(connection, [*islice(story, min(_BATCH, rows - done))])
    return new


async def _find_end(connection: AutocommitConnection) -> datetime:
    """The end of the story: that of the first run, which its first record tells, or now."""
    first = (SOURCE, "1")
    found = await events.find(connection, [first])
    if first in found:
        return Audit.model_validate_json(found[first].json).occurred_at + DAYS
    return clock.now().replace(second=0, microsecond=0) - timedelta(minutes=1)


async def _record(connection: AutocommitConnection, entries: Sequence[Entry]) -> Counter[str]:
    created = await service.create_batch(connection, [entry.record for entry in entries], Attribution(), None)
    new = Counter(records=created.count)
    for entry, item in zip(entries, created.items, strict=True):
        for version, change in enumerate(entry.changes, FIRST_VERSION):
            new[_name(change)] += await _change(connection, Audit.model_validate_json(item.record), version, change)
    return new


def _name(change: Change) -> str:
    return "corrections" if change.record else "removals"


async def _change(connection: AutocommitConnection, audit: Audit, version: int, change: Change) -> bool:
    """Change the record if it still has this version. Returns whether it had."""
    attribution, if_match = Attribution(change.by, change.reason), IfMatch(frozenset({str(version)}))
    try:
        match change.record:
            case AuditPatch():
                await service.patch(connection, audit.id, change.record, attribution, if_match)
            case AuditReplace():
                await service.replace(connection, audit.id, change.record, attribution, if_match)
            case None:
                await service.remove(connection, audit.id, attribution, if_match)
    except (AuditNotFound, VersionMismatch):
        return False
    return True


def _rows(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a number such as 100000, not {text}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.seed", description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="?", type=_rows, default=100_000, help="how many records (%(default)s)")
    rows = parser.parse_args(arguments).rows
    if AppSettings.load().environment is Environment.PRODUCTION:
        raise SystemExit("seed: ENVIRONMENT is production, and invented records have no place there")
    settings = DatabaseSettings.load()
    config = Config(PROJECT_ROOT / "alembic.ini", attributes={"database_settings": settings})
    command.upgrade(config, "head")
    with exit_with_one_line("seed"):
        try:
            new = asyncio.run(seed(settings, rows))
        except EventAlreadyRecorded:
            raise SystemExit("seed: another release has filled this trail with another story") from None
    print(
        f"seed: the trail has the {rows:,} records of the story: {new['records']:,} of them, {new['corrections']:,} "
        f"corrections and {new['removals']:,} removals are new",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
