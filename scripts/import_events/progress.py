"""Counts how the events ended, shows it while they are imported, and writes down what was refused."""

import sys
import threading
import time
from collections import Counter
from typing import Any, BinaryIO

import orjson

from scripts.import_events.reader import Place
from scripts.import_events.sender import Item

_SECONDS_BETWEEN_LINES = 2.0
_MAX_SHOWN = 10


class Progress:
    """Counts: `new` and `known` records, `refused` events. Its methods may be called from several threads."""

    def __init__(self, errors: BinaryIO | None) -> None:
        self.numbers: Counter[str] = Counter()
        self._errors = errors
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._shown = self._started

    def count(self, number: Counter[str]) -> None:
        with self._lock:
            self.numbers += number
            if time.monotonic() - self._shown >= _SECONDS_BETWEEN_LINES:
                self._shown = time.monotonic()
                self._say(self.summary())

    def refuse(self, item: Item, problem: dict[str, Any]) -> None:
        """Write down a record that the service refused."""
        reasons = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in problem.get("errors") or ()]
        self._write(
            item.place,
            "; ".join(reasons) or str(problem.get("detail")),
            {"problem": problem},
            orjson.Fragment(item.record),
        )

    def reject(self, place: Place, reason: str, event: Any = None) -> None:
        """Write down what could not be made a record."""
        self._write(place, reason, {}, event)

    def wait(self, seconds: float, reason: str) -> None:
        self._say(f"{reason.strip()}; trying again in {seconds:.1f} s")

    def summary(self) -> str:
        seconds = time.monotonic() - self._started
        new, known, refused = (self.numbers[name] for name in ("new", "known", "refused"))
        total = new + known + refused
        return (
            f"{total} events: {new} new, {known} recorded before, {refused} refused; "
            f"{total / seconds:.0f} a second for {seconds:.1f} s"
        )

    def _write(self, place: Place, reason: str, more: dict[str, Any], content: Any) -> None:
        entry = {"file": place.file, "line": place.line, "event": place.number, "reason": reason}
        with self._lock:
            self.numbers["refused"] += 1
            if self._errors:
                self._errors.write(orjson.dumps(entry | more | {"content": content}, default=str) + b"\n")
            if self.numbers["refused"] <= _MAX_SHOWN:
                self._say(f"{place.file}:{place.line} (event {place.number}): {reason}")

    def _say(self, line: str) -> None:
        print(f"import_events: {line}", file=sys.stderr, flush=True)
