"""Sends records to a running service in batches, a few at once, until each is answered.

The service records a pair of `source` and `event_id` once, so a batch whose answer was lost is simply sent again.
"""

import gzip
import ipaddress
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import httpx2
import orjson

from scripts.import_events import conflicts
from scripts.import_events.reader import Place
from src.audits.constants import MAX_BATCH_ITEMS, PATH

IN_FLIGHT = 3
# The service takes 4 MiB and some 300,000 names and values, unless its settings say otherwise: then it answers 413.
MAX_BATCH_BYTES = 3 * 1024 * 1024
MAX_BATCH_VALUES = 250_000
# Seconds without an answer, after which the import ends.
PATIENCE = 300.0

_TIMEOUT = httpx2.Timeout(60, connect=10)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 15.0
_TRANSIENT = {408, 429, 500, 502, 503, 504}
_TOO_MUCH = {413, 422}
# After this number of attempts, a batch that takes the service too long is sent in halves.
_ATTEMPTS_BEFORE_HALVES = 3
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Item:
    """A record as JSON, and where its event was."""

    record: bytes
    place: Place


class ImportStopped(Exception):
    """The service does not answer, or answers what no retry can change. What it has recorded stays."""


class Outcomes(Protocol):
    """Is told how each record ended, from several threads."""

    def count(self, number: Counter[str]) -> None: ...
    def refuse(self, item: Item, problem: dict[str, Any]) -> None: ...
    def wait(self, seconds: float, reason: str) -> None: ...


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """The items in batches within the service's limits of records, bytes and values."""
    batch: list[Item] = []
    size = values = 0
    for item in items:
        item_values = sum(map(item.record.count, (b"{", b"[", b",", b":")))
        if batch and (
            len(batch) == MAX_BATCH_ITEMS
            or size + len(item.record) > MAX_BATCH_BYTES
            or values + item_values > MAX_BATCH_VALUES
        ):
            yield batch
            batch, size, values = [], 0, 0
        batch.append(item)
        size += len(item.record) + 1
        values += item_values
    if batch:
        yield batch


class Sender:
    """Sends batches to `url`, the root of a service."""

    def __init__(self, url: str, outcomes: Outcomes, patience: float = PATIENCE) -> None:
        self._client = httpx2.Client(timeout=_TIMEOUT)
        self._list = f"{url.rstrip('/')}{PATH}"
        self._endpoint = f"{self._list}/batch?mode=partial"
        self._is_near = _is_loopback(httpx2.URL(url).host)
        self._outcomes, self._patience = outcomes, patience
        self._last_answer = time.monotonic()
        self._stopped = threading.Event()

    def send_all(self, batches: Iterable[list[Item]]) -> None:
        """Send all batches. Raises `ImportStopped`, when no request is under way any more."""
        with self._client, ThreadPoolExecutor(IN_FLIGHT) as pool:
            under_way: set[Future[None]] = set()
            try:
                self._last_answer = time.monotonic()
                for batch in batches:
                    under_way.add(pool.submit(self._send, batch))
                    if len(under_way) == IN_FLIGHT:
                        under_way = _finish(under_way)
                while under_way:
                    under_way = _finish(under_way)
            finally:
                self._stopped.set()

    def _send(self, batch: Sequence[Item]) -> None:
        """Send a batch, in parts if the service asks for less at once."""
        answer = self._post(batch)
        if answer is None or (answer.status_code in _TOO_MUCH and len(batch) > 1):
            middle = len(batch) // 2
            self._send(batch[:middle])
            self._send(batch[middle:])
        elif answer.status_code in _TOO_MUCH:
            self._outcomes.refuse(batch[0], _problem(answer))
        elif answer.status_code == httpx2.codes.MULTI_STATUS:
            self._read_outcomes(batch, answer)
        else:
            raise ImportStopped(f"{self._endpoint} answers {answer.status_code}: {answer.text[:300]}")

    def _read_outcomes(self, batch: Sequence[Item], answer: httpx2.Response) -> None:
        results = orjson.loads(answer.content)["items"]
        if len(results) != len(batch):
            raise ImportStopped(f"{self._endpoint} answers with {len(results)} items for {len(batch)} records.")
        numbers: Counter[str] = Counter()
        others: list[Item] = []
        for item, result in zip(batch, results, strict=True):
            if "problem" not in result:
                numbers["new" if result["created"] else "known"] += 1
            elif result["problem"].get("code") == conflicts.CODE:
                others += self._settle(item, result["problem"], numbers)
            else:
                self._outcomes.refuse(item, result["problem"])
        self._outcomes.count(numbers)
        if others:
            self._send(others)

    def _settle(self, item: Item, problem: dict[str, Any], numbers: Counter[str]) -> list[Item]:
        """Decide about an item that has the id of a record with another content. Returns what else is to be sent."""
        fields = orjson.loads(item.record)
        query = {"source": fields["source"], "event_id": fields["event_id"], "limit": "1", "count": "none"}
        answer = self._ask(lambda: self._client.get(self._list, params=query), lambda _: False)
        found = answer.json()["items"] if answer and answer.status_code == httpx2.codes.OK else []
        # A record that was removed or changed since does not show any more what it was made of.
        if not found or found[0]["version"] > 1:
            self._outcomes.refuse(item, problem)
            return []
        if conflicts.is_same_event(item.record, found[0]):
            numbers["known"] += 1
            return []
        return [Item(conflicts.with_other_id(item.record), item.place)]

    def _post(self, batch: Sequence[Item]) -> httpx2.Response | None:
        """Post a batch until it is answered. Returns None if it should be sent in halves."""
        body, headers = self._encode(batch)
        return self._ask(
            lambda: self._client.post(self._endpoint, content=body, headers=headers),
            lambda answer: len(batch) > 1 and _took_too_long(answer),
        )

    def _ask(
        self, request: Callable[[], httpx2.Response], is_too_much: Callable[[httpx2.Response], bool]
    ) -> httpx2.Response | None:
        """Send a request until it is answered; None if it was too much for the service several times.

        It waits as long as `Retry-After` says, or longer each time. Raises `ImportStopped` after `patience` seconds
        without an answer to any request.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = request()
            except httpx2.TransportError as error:
                self._pause(attempt, None, f"{type(error).__name__}: {error}")
                continue
            if answer.status_code not in _TRANSIENT:
                self._last_answer = time.monotonic()
                return answer
            if attempt >= _ATTEMPTS_BEFORE_HALVES and is_too_much(answer):
                return None
            self._pause(attempt, _retry_after(answer), f"{answer.status_code} {_problem(answer).get('code', '')}")

    def _encode(self, batch: Sequence[Item]) -> tuple[bytes, dict[str, str]]:
        """The body. It is packed unless the service is on this machine, where packing costs more than sending."""
        body = b"\n".join(item.record for item in batch)
        headers = {"Content-Type": "application/x-ndjson"}
        if self._is_near:
            return body, headers
        return gzip.compress(body, _GZIP_LEVEL), headers | {"Content-Encoding": "gzip"}

    def _pause(self, attempt: int, retry_after: float | None, reason: str) -> None:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
        seconds = random.uniform(longest / 2, longest) if retry_after is None else retry_after + random.uniform(0, 0.5)
        if time.monotonic() + seconds > self._last_answer + self._patience:
            raise ImportStopped(f"{self._endpoint} did not take a record for {self._patience:.0f} s: {reason}")
        self._outcomes.wait(seconds, reason)
        if self._stopped.wait(seconds):
            raise ImportStopped("stopped")


def _finish(under_way: set[Future[None]]) -> set[Future[None]]:
    """Wait until one has finished. Raises what it raised."""
    done, others = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return others


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _problem(answer: httpx2.Response) -> dict[str, Any]:
    """The problem document; something like it if a proxy answered with another document."""
    with suppress(ValueError):
        if isinstance(document := answer.json(), dict):
            return document
    return {"status": answer.status_code, "detail": answer.text[:300]}


def _took_too_long(answer: httpx2.Response) -> bool:
    return answer.status_code in (408, 504) or _problem(answer).get("code") == "database-timeout"


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds, from seconds or an HTTP date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    with suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
