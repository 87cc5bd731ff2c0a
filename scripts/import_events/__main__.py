"""`python -m scripts.import_events FORMAT FILE... --url ...`: import events that another product recorded.

Run it again after whatever stopped it: the service records each event once, by its own id.
"""

import argparse
import gc
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2

from scripts.import_events.details import decode
from scripts.import_events.formats import FORMATS
from scripts.import_events.mapping import Format, NotAnEvent, Record, Skipped, to_record
from scripts.import_events.progress import Progress
from scripts.import_events.reader import Place, Reader, Unreadable, unpacked
from scripts.import_events.sender import PATIENCE, ImportStopped, Item, Sender, batches

# If none of the first events is recognised, the name of the format is wrong.
_LOOKED_AT = 1_000
_OBJECTS_BETWEEN_COLLECTIONS = 200_000
_LAST_PORT = 65_535


class WrongFormat(Exception):
    """The events are not of the format that was named."""


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.import_events", description=__doc__)
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("files", nargs="+", metavar="FILE", help="JSON, also as gzip; - is the standard input")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the running service (%(default)s)")
    parser.add_argument("--errors", type=Path, metavar="FILE", help="write what is refused to this file, as NDJSON")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="end after so long without an answer of the service (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="send nothing: print the records as NDJSON")
    arguments = parser.parse_args()
    url = httpx2.URL(arguments.url)
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > _LAST_PORT:
        parser.error("--url must be http:// or https:// with a host, such as http://127.0.0.1:8000")
    return arguments


def read_records(files: Iterable[str], form: Format, progress: Progress) -> Iterator[tuple[Record, Place]]:
    """The records of all files. What is no event is written down."""
    for name in files:
        try:
            with ExitStack() as stack:
                file = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
                yield from _read_file(Reader(unpacked(file), name, form.envelopes, decode), form, progress)
        except OSError as error:
            progress.reject(Place(name, 0, 0), f"The file cannot be read: {error}")


def _read_file(reader: Reader, form: Format, progress: Progress) -> Iterator[tuple[Record, Place]]:
    while True:
        try:
            yield to_record(next(reader), form), reader.place
        except StopIteration:
            return
        except Skipped:
            continue
        except (Unreadable, NotAnEvent) as error:
            progress.reject(reader.place, str(error))


def recognised(records: Iterator[tuple[Record, Place]], form: Format) -> Iterator[Item]:
    """The records, as soon as one is of this format. Raises `WrongFormat` if none of the first ones is.

    A trail cannot be cleaned up, so a wrong name on the command line must not fill it.
    """
    first = []
    for record, place in records:
        first.append(Item(record.encoded, place))
        if record.is_recognised:
            yield from first
            yield from (Item(record.encoded, place) for record, place in records)
            return
        if len(first) == _LOOKED_AT:
            break
    if first:
        raise WrongFormat(
            f"nothing was recorded: no event has an action or an id where {form.title} has them; name the right FORMAT"
        )


def run(arguments: argparse.Namespace, progress: Progress) -> str | None:
    """Import the files. Returns why the import ended early."""
    form = FORMATS[arguments.format]
    items = recognised(read_records(arguments.files, form, progress), form)
    try:
        if arguments.dry_run:
            for item in items:
                sys.stdout.buffer.write(item.record + b"\n")
        else:
            Sender(arguments.url, progress, arguments.patience).send_all(batches(items))
    except WrongFormat as error:
        return str(error)
    except ImportStopped as error:
        return f"{error}; run it again to go on"
    except KeyboardInterrupt:
        return "interrupted; run it again to go on"
    return None


def main() -> None:
    arguments = parse_arguments()
    # Events and answers hold no cycles, but thousands of objects: looking for cycles took a quarter of the time.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    if arguments.dry_run:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it
    with ExitStack() as stack:
        errors = stack.enter_context(arguments.errors.open("wb")) if arguments.errors else None
        progress = Progress(errors)
        stopped = run(arguments, progress)
    print(f"import_events: {progress.summary()}", file=sys.stderr)
    if stopped:
        sys.exit(f"import_events: ended early: {stopped}")
    sys.exit(1 if progress.numbers["refused"] else 0)


if __name__ == "__main__":
    main()
