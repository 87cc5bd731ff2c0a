"""`python -m src.ledger.verify [--since FILE] [--all] [--key VKEY]`: check the whole trail and its ledger.

It recomputes every hash and chain, compares each revision with its entry and each entry with its revision, recomputes
the tree from its entries, and checks the newest checkpoint. With `--since`, a checkpoint that was kept outside of the
database, it shows that the ledger has only grown since then, and reads what is newer, and one part in VERIFY_PARTS of
what is older: the next part each day. `--all` reads all nevertheless.

It prints one line for each finding, which names the record or the ledger, to stdout, and its progress to stderr. It
exits with status 1 if there are findings. It reads one snapshot, in constant memory, with a process for each core.

docs/operating.md says which changes it cannot detect.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from src import clock
from src.audits.verify import MORE_FINDINGS, WITHOUT_REVISION
from src.config import DatabaseSettings
from src.job_errors import exit_with_one_line
from src.ledger import chains, ledger_row, tree
from src.ledger.chains import Finding, Wanted
from src.ledger.checkpoints import Checkpoint
from src.ledger.config import LedgerSettings
from src.ledger.cosignatures import LogKey
from src.ledger.notes import InvalidKey, InvalidNote, VerifierKey, open_note
from src.ledger.parallel import ADVICE_BY_SQLSTATE, Processes, Run, connect, run_on

_PROGRESS_EVERY = 100_000
# One process reads fewer before another one has started.
_WORTH_PROCESSES = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD = text(f"""
    SELECT origin, size, root, seen::text AS seen, COALESCE(
        system_identifier = {ledger_row.THIS_SYSTEM} AND database_oid = {ledger_row.THIS_DATABASE}, false
    ) AS is_original
    FROM ledger
""")
_NEWEST_CHECKPOINT = text("""
    SELECT origin, size, root, note FROM ledger_checkpoint WHERE origin = :origin ORDER BY size DESC LIMIT 1
""")
_HAS_MANY = text("SELECT count(*) = :many FROM (SELECT FROM audit_revision LIMIT :many) AS revision")


class Unusable(ValueError):
    """What was given is no key, or no checkpoint of this ledger. The message is one line for whoever gave it."""


@dataclass(frozen=True)
class Known:
    """What is known from outside of the database: keys, and a checkpoint; and how much is read because of it."""

    keys: tuple[VerifierKey, ...] = ()
    since: Checkpoint | None = None
    reads_all: bool = False
    part: int = 0
    parts: int = 1


NOTHING = Known()


async def verify(connection: AsyncConnection, known: Known = NOTHING, run: Run | None = None) -> AsyncIterator[Finding]:
    """Everything that does not hold. Raises `Unusable` if `known` has a checkpoint of another ledger."""
    run = run or run_on(connection)
    head = (await connection.execute(_HEAD)).one_or_none()
    if head is None:
        yield Finding("ledger", "its row is gone")
        return
    wanted = _wanted(head, known)
    async for finding in _check_chains(connection, wanted, run):
        yield finding
    async for finding in _check_rest(connection, wanted):
        yield finding
    async for finding in _check_ledger(connection, wanted, head, known, run):
        yield finding


def _wanted(head: Row[Any], known: Known) -> Wanted:
    since = known.since
    if since and since.origin != head.origin:
        raise Unusable(f"the checkpoint is of {since.origin}, and the ledger here is {head.origin or 'without a name'}")
    begin = since.size if since and not known.reads_all else None
    # Transaction ids of another database say nothing about this one.
    return Wanted(begin, known.part, known.parts, head.seen if head.is_original else None)


async def _check_rest(connection: AsyncConnection, wanted: Wanted) -> AsyncIterator[Finding]:
    for what, statement in MORE_FINDINGS.items():
        if wanted.since is None or statement is WITHOUT_REVISION:
            async for row in await connection.stream(statement, execution_options={"yield_per": 1000}):
                yield Finding(row[0], what)


async def _check_chains(connection: AsyncConnection, wanted: Wanted, run: Run) -> AsyncIterator[Finding]:
    total = 0
    arguments = ((wanted, keys) async for keys in chains.key_ranges(connection))
    async for read, findings in run(chains.check_chains, arguments):
        for finding in findings:
            yield finding
        if total // _PROGRESS_EVERY < (total + read) // _PROGRESS_EVERY:
            _report(f"{(total + read) // _PROGRESS_EVERY * _PROGRESS_EVERY} revisions read")
        total += read
    which = "all of them"
    if wanted.since is not None:
        which = f"those since entry {wanted.since} and part {wanted.part + 1} of {wanted.parts} of the older ones"
    _report(f"{total} revisions read, {which}")


async def _check_ledger(
    connection: AsyncConnection, wanted: Wanted, head: Row[Any], known: Known, run: Run
) -> AsyncIterator[Finding]:
    newest = (await connection.execute(_NEWEST_CHECKPOINT, {"origin": head.origin})).one_or_none()
    sizes = {head.size, *(each.size for each in (newest, known.since) if each and each.size <= head.size)}
    subtrees, beginnings = list[bytes](), dict[int, bytes]()

    async def arguments() -> AsyncIterator[tuple[Any, ...]]:
        for first in range(0, head.size, tree.SUBTREE):
            yield wanted, first, head.size, tuple(sizes)

    async for subtree in run(tree.check_subtree, arguments()):
        subtrees += [subtree.hash] if subtree.hash else []
        beginnings |= subtree.beginnings
        for finding in subtree.findings:
            yield finding
    for finding in await tree.check_rest(connection, wanted, head.size, subtrees):
        yield finding
    roots = {size: tree.root(size, subtrees, beginnings) for size in sizes}
    for what in _compare_roots(head, newest, known, roots):
        yield Finding("ledger", what)


def _compare_roots(head: Row[Any], newest: Row[Any] | None, known: Known, roots: dict[int, bytes]) -> list[str]:
    found = []
    if roots[head.size] != head.root:
        found.append(f"its root is not that of its {head.size} entries")
    if newest:
        found += _check_checkpoint(newest, head.size, known.keys, roots)
    elif known.keys and head.size:
        found.append(f"no checkpoint signs its {head.size} entries")
    since = known.since
    if since and since.size > head.size:
        found.append(f"it has {head.size} entries, and the checkpoint {since.size}: its end was cut off")
    elif since and roots[since.size] != since.root:
        found.append(f"it is not the one of the checkpoint of {since.size} entries: it was rewritten")
    elif since:
        _report(f"the ledger of {head.size} entries has only grown since the checkpoint of {since.size}")
    return found


def _check_checkpoint(newest: Row[Any], size: int, keys: tuple[VerifierKey, ...], roots: dict[int, bytes]) -> list[str]:
    name = f"its newest checkpoint, of {newest.size} entries,"
    try:
        signed = open_note(newest.note, keys) if keys else newest.note
        checkpoint = Checkpoint.parse(signed)
    except InvalidNote as error:
        return [f"{name} is not valid: {error}"]
    if not keys:
        _report("no signature was checked: LEDGER_KEY or --key is needed")
    if checkpoint != Checkpoint(newest.origin, newest.size, newest.root):
        return [f"{name} says another size or root than its row"]
    if newest.size < size:
        _report(f"{size - newest.size} entries are younger than the newest checkpoint")
    if newest.size > size:
        return [f"{name} is larger than the ledger of {size}: its end was cut off"]
    return [] if roots[newest.size] == newest.root else [f"{name} has another root than its entries"]


def _report(progress: str) -> None:
    print(f"verify: {progress}", file=sys.stderr, flush=True)


def _read_known(options: argparse.Namespace, settings: LedgerSettings) -> Known:
    """Raises `Unusable`."""
    try:
        keys = (LogKey.parse(options.key),) if options.key else tuple(settings.verifiers)
    except InvalidKey as error:
        raise Unusable(f"--key {error}") from None
    if options.all and not options.since:
        raise Unusable("--all is for --since FILE: without that all is read")
    since = read_checkpoint(options.since, keys) if options.since else None
    part = (clock.now() - _EPOCH).days % settings.verify_parts
    return Known(keys, since, options.all, part, settings.verify_parts)


def read_checkpoint(path: Path, keys: tuple[VerifierKey, ...]) -> Checkpoint:
    """A checkpoint that one of the keys has signed. Raises `Unusable`."""
    if not keys:
        raise Unusable("--since needs the verifier key: set LEDGER_KEY, or give --key (with make: KEY=...)")
    try:
        return Checkpoint.parse(open_note(path.read_bytes().decode(), keys))
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unusable(f"{path}: is no checkpoint: it is not UTF-8") from None
    except InvalidNote as error:
        raise Unusable(f"{path}: is no checkpoint of this ledger: {error}") from None


async def main(known: Known) -> int:
    """Print what was found. Returns the status to exit with. Raises `Unusable`."""
    settings, found = DatabaseSettings.load(), 0
    processes: Processes | None = None
    async with connect(settings) as connection:
        try:
            if await connection.scalar(_HAS_MANY, {"many": _WORTH_PROCESSES}):
                snapshot = await connection.exec_driver_sql("SELECT pg_export_snapshot()")
                processes = Processes(settings, snapshot.scalar_one())
            async for finding in verify(connection, known, processes.run if processes else None):
                print(f"{finding.subject}: {finding.text}", flush=True)
                found += 1
        finally:
            if processes:
                processes.end()
    _report(f"findings: {found}" if found else "every hash and chain agrees")
    return 1 if found else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="verify", description="Check the whole trail and its ledger.")
    parser.add_argument("--since", type=Path, metavar="FILE", help="a checkpoint that was kept outside the database")
    parser.add_argument("--all", action="store_true", help="with --since: read also all that is older")
    parser.add_argument("--key", metavar="VKEY", help="the verifier key; without it that of LEDGER_KEY")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        given = _read_known(_parse(sys.argv[1:]), LedgerSettings.load())
        with exit_with_one_line("verify", ADVICE_BY_SQLSTATE):
            sys.exit(asyncio.run(main(given)))
    except (Unusable, BrokenProcessPool) as error:
        sys.exit(f"verify: {error}")
