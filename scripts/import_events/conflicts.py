"""Decides about an event whose id the service knows with another content.

Either it is the same event, of which an earlier importer made another record; or a product gave one id to two events.
"""

import hashlib
from typing import Any

import orjson

from scripts.import_events.details import NOTES
from src.audits.constants import MAX_TEXT_LENGTH

CODE = "event-already-recorded"

_DIGITS = 32


def is_same_event(record: bytes, recorded: dict[str, Any]) -> bool:
    """Whether both records were made of one event: they have the same details, but for the notes."""
    return _content(orjson.loads(record)) == _content(recorded)


def with_other_id(record: bytes) -> bytes:
    """The record with an id of its own content, and a note of that. The same event has the same one each time."""
    fields = orjson.loads(record)
    digest = hashlib.sha256(orjson.dumps(_content(fields), option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGITS]
    notes = fields["details"].setdefault(NOTES, {})
    notes["event_id"] = f"Another event has this event's id, {fields['event_id']}"
    fields["event_id"] = f"{fields['event_id'][: MAX_TEXT_LENGTH - _DIGITS - 1]}~{digest}"
    return orjson.dumps(fields)


def _content(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields["details"].items() if name != NOTES}
