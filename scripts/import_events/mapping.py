"""Makes a record of an event, by the table of its format."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Any

import orjson

from scripts.import_events import details
from src.audits.constants import (
    MAX_CORRELATION_ID_LENGTH,
    MAX_ID_BYTES,
    MAX_ID_LENGTH,
    MAX_MINUTES_AHEAD,
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
    ActorType,
    AuditStatus,
)

Event = dict[str, Any]
Rule = Callable[[Event], Any]
Field = tuple[str | Rule, ...]
"""Where a field comes from: the first of these that has a value.

`a.b.0` is a path: the member `b` of the member `a`, and there the first item. `{a}/{b}` is a text with the values of
paths, all of which must be there. A function is for what a path cannot say.
"""

_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]+")
_PATH_IN_BRACES = re.compile(r"\{([^}]+)\}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)? ?(?:([Zz]|UTC)|([+-]\d\d):?(\d\d))?")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS_OF_DIGEST = 32
_MAX_BYTES_OF_CHARACTER = 4


class NotAnEvent(Exception):
    """The value is no event of this format."""


class Skipped(Exception):
    """The value belongs to the format, and is no event."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as JSON. `is_recognised` means that its event had an action or an id where the format has them."""

    encoded: bytes
    is_recognised: bool


@dataclass(frozen=True)
class Format:
    """How the events of one product become records.

    `actor_type` and `status` are functions. `envelopes` are members that hold a list of events; `wrappers` are members
    that hold one event, as an object or as JSON text. An event that `skips` names is left out.
    """

    title: str
    source: Field
    event_id: Field
    occurred_at: Field
    action: Field
    entity_type: Field
    entity_id: Field
    actor_id: Field
    actor_type: Callable[[Event], ActorType]
    status: Callable[[Event], AuditStatus]
    correlation_id: Field = ()
    envelopes: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    details: Callable[[Event], Event] = lambda event: event
    skips: Callable[[Event], bool] = lambda event: False

    @cached_property
    def fields(self) -> dict[str, list["_Source"]]:
        return {name: [_compile(source) for source in getattr(self, name)] for name in _FIELDS}


def to_record(event: Any, form: Format) -> Record:
    """The record of an event. Raises `NotAnEvent`, `Skipped`."""
    event = _unwrap(event, form.wrappers)
    if not isinstance(event, dict):
        raise NotAnEvent("An event is a JSON object.")
    if form.skips(event):
        raise Skipped
    storable = details.to_storable(event)
    event, fields = storable.event, form.fields
    action, event_id = _first(fields["action"], event), _first(fields["event_id"], event)
    record: Event = {
        "source": _shorten(_first(fields["source"], event) or form.title, MAX_TEXT_LENGTH),
        "event_id": _shorten(event_id or _fingerprint(event), MAX_TEXT_LENGTH),
        "action": _to_name(action) or "unknown",
        "entity_type": _to_name(_first(fields["entity_type"], event)) or "unknown",
        "entity_id": _to_id(_first(fields["entity_id"], event)) or "unknown",
        "actor_type": form.actor_type(event),
        "actor_id": _to_id(_first(fields["actor_id"], event)) or "unknown",
        "status": form.status(event),
    }
    if correlation_id := _first(fields["correlation_id"], event):
        record["correlation_id"] = _shorten(correlation_id, MAX_CORRELATION_ID_LENGTH)
    if occurred_at := _first_time(fields["occurred_at"], event):
        record["occurred_at"] = occurred_at
    else:
        storable.notes["occurred_at"] = "The event has no time that the service takes: this is when it was imported."
    if (kept := form.details(event)) is not event:
        storable = details.Storable(kept, storable.notes)
    record["details"] = orjson.Fragment(details.to_details(storable))
    return Record(orjson.dumps(record), bool(action or event_id))


def find(event: Any, path: str) -> Any:
    """What is at a path such as `a.b.0`; None if nothing is there."""
    return _follow(event, _steps(path))


def words(table: Mapping[str, Any], otherwise: Any, *paths: str) -> Callable[[Event], Any]:
    """A function that looks up what is at the first path that has a value, in any case, in a table."""
    steps = [_steps(path) for path in paths]

    def look_up(event: Event) -> Any:
        for path in steps:
            if (value := _follow(event, path)) is not None:
                return table.get(str(value).lower(), otherwise)
        return otherwise

    return look_up


def always(value: Any) -> Rule:
    return lambda _: value


STATUSES = {
    "success": AuditStatus.SUCCESS,
    "succeeded": AuditStatus.SUCCESS,
    "allow": AuditStatus.SUCCESS,
    "failure": AuditStatus.FAILURE,
    "failed": AuditStatus.FAILURE,
    "deny": AuditStatus.FAILURE,
    "pending": AuditStatus.PENDING,
}


_FIELDS = ("source", "event_id", "occurred_at", "action", "entity_type", "entity_id", "actor_id", "correlation_id")
_Steps = tuple[tuple[str, str], ...]
_Source = tuple[_Steps, Rule | None]


def _compile(source: str | Rule) -> _Source:
    """The steps of a path, or the function of anything else."""
    if callable(source):
        return (), source
    if "{" not in source:
        return _steps(source), None
    paths = [_steps(path) for path in _PATH_IN_BRACES.findall(source)]
    template = _PATH_IN_BRACES.sub("{}", source)

    def fill(event: Event) -> str | None:
        values = [_to_text(_follow(event, steps)) for steps in paths]
        return template.format(*values) if all(values) else None

    return (), fill


@cache
def _steps(path: str) -> _Steps:
    """The steps of a path, each also in lower case: stores such as Athena keep the names of members so."""
    return tuple((step, step.lower()) for step in path.split("."))


def _follow(value: Any, steps: _Steps) -> Any:
    for step, lower in steps:
        if isinstance(value, dict):
            value = value[step] if step in value else value.get(lower)
        elif isinstance(value, list) and step.isdecimal():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _first(sources: list[_Source], event: Event) -> str:
    """The first value, as text; empty if there is none."""
    for steps, rule in sources:
        value = rule(event) if rule else _follow(event, steps)
        if value is not None and (text := _to_text(value)):
            return text
    return ""


def _to_text(value: Any) -> str:
    if isinstance(value, str):
        return (value if value.isprintable() else _CONTROL.sub(" ", value)).strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def _to_name(text: str) -> str:
    """The text as an `action` or `entity_type`: without blanks at its ends, and not a prefix, which ends in `*`."""
    text = text.strip()
    while text.endswith("*"):
        text = text.rstrip("*").rstrip()
    return _shorten(text, MAX_NAME_LENGTH)


def _to_id(text: str) -> str:
    if len(text) <= MAX_ID_LENGTH and len(text.encode()) <= MAX_ID_BYTES:
        return text
    return _shorten(text, MAX_ID_LENGTH if text.isascii() else MAX_ID_BYTES // _MAX_BYTES_OF_CHARACTER)


def _shorten(text: str, characters: int) -> str:
    """The text in at most `characters`. Longer texts stay different: each ends in its own digest."""
    if len(text) <= characters:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS_OF_DIGEST]
    return f"{text[: characters - _DIGITS_OF_DIGEST - 1].strip()}~{digest}"


def _fingerprint(event: Event) -> str:
    """An id for an event that has none: the same event has the same one."""
    return f"sha256:{hashlib.sha256(orjson.dumps(event, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def _first_time(sources: list[_Source], event: Event) -> str | None:
    """The first value that is a time which the service takes, as RFC 3339."""
    for steps, rule in sources:
        value = rule(event) if rule else _follow(event, steps)
        time = _parse_text_time(value) if isinstance(value, str) else _parse_epoch_time(value)
        if time:
            return time
    return None


def _parse_text_time(text: str) -> str | None:
    """RFC 3339, also without an offset, which then is UTC, and with a blank for its `T`; or digits since 1970."""
    if not (found := _TIME.fullmatch(text.strip())):
        return _parse_epoch_time(int(text)) if text.isdecimal() and len(text) < 20 else None
    date, clock, fraction, _, hours, minutes = found.groups()
    written = f"{date}T{clock}.{fraction or '0'}{f'{hours}:{minutes}' if hours else 'Z'}"
    try:
        time = datetime.fromisoformat(f"{date}T{clock}{f'{hours}:{minutes}' if hours else '+00:00'}")
        return written if _is_accepted(time) else None
    except (ValueError, OverflowError):
        return None


def _parse_epoch_time(value: Any) -> str | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970: which of them, its size tells."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e20:
        return None
    unit = next((unit for unit in (1, 1_000, 1_000_000) if value < 1e11 * unit), 1_000_000_000)
    time = _EARLIEST + timedelta(microseconds=int(value * 1_000_000 // unit))
    return time.isoformat().replace("+00:00", "Z") if _is_accepted(time) else None


def _is_accepted(time: datetime) -> bool:
    return _EARLIEST <= time <= datetime.now(UTC) + timedelta(minutes=MAX_MINUTES_AHEAD)


def _unwrap(event: Any, wrappers: tuple[str, ...]) -> Any:
    for name in wrappers:
        if isinstance(event, dict) and name in event:
            inner = event[name]
            if isinstance(inner, str):
                try:
                    inner = details.decode(inner.strip(), 0)[0]
                except ValueError:
                    continue
            if isinstance(inner, dict):
                event = inner
    return event
