"""Tools that read exports get every record back, with the options that docs/clients.md names."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.audits.factories import AUDITS, audit_body
from tests.peers.conftest import FOLDER, run

pytestmark = pytest.mark.peers

TOOLS = ("duckdb", "pandas", "polars", "pyarrow", "sqlite")
TEXTS = [
    "007",
    "NA",
    "null",
    "1e5",
    "a,b",
    'a "quoted" one',
    "#",
    "=1+1",
    "\uff1d1+1",
    "é \u2028 \U0001f9fe",
    "2026-01-31",
]
NUMBERS: list[float] = [0, 1, 1.5, -1, 2**53, 2**63, 2**64, -(2**64), 10**23, 10**50, 1e308, 1e-300]
TIMES = ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.250000Z"]
DETAILS: list[dict[str, Any]] = [
    {},
    *({"n": number} for number in NUMBERS),
    *({"t": text, "o": {"texts": [text]}} for text in TEXTS),
]
BODIES = [
    audit_body(entity_id=TEXTS[n % len(TEXTS)], details=DETAILS[n % len(DETAILS)], occurred_at=TIMES[n % 2])
    | ({"correlation_id": TEXTS[-n % len(TEXTS)]} if n % 3 else {})
    for n in range(1_000)
]


@pytest.fixture(scope="module")
async def records(service: str) -> list[dict[str, Any]]:
    """What the service has, by id."""
    async with httpx2.AsyncClient(base_url=service, timeout=60) as client:
        created = await client.post(f"{AUDITS}/batch", json={"items": BODIES})
        assert created.status_code == 201, created.text
        return sorted(created.json()["items"], key=lambda record: record["id"])


@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize("tool", TOOLS)
async def test_a_tool_reads_every_record_back(
    service: str, records: list[dict[str, Any]], python_programs: Path, tmp_path: Path, tool: str, form: str
) -> None:
    read = await _read(service, python_programs, tmp_path, tool, form)
    assert [_comparable(record) for record in read] == [_comparable(record) for record in records]


async def test_duckdb_makes_parquet_of_an_export(
    service: str, records: list[dict[str, Any]], python_programs: Path, tmp_path: Path
) -> None:
    read = await _read(service, python_programs, tmp_path, "duckdb", "parquet")
    assert [(record["id"], json.loads(record["details"])) for record in read] == [
        (record["id"], record["details"]) for record in records
    ]


async def _read(service: str, programs: Path, folder: Path, tool: str, form: str) -> list[dict[str, Any]]:
    """What the tool reads, by id."""
    file = folder / "audits"
    query = {"format": "csv" if form == "csv" else "ndjson", "csv_guard": "false"}
    async with httpx2.AsyncClient(base_url=service, timeout=60) as client:
        file.write_bytes((await client.get(f"{AUDITS}/export", params=query)).content)
    printed = await run(programs / "python", FOLDER / "tours" / "read_exports.py", tool, form, file, cwd=folder)
    return sorted(map(json.loads, printed.splitlines()), key=lambda record: record["id"])


def _comparable(record: dict[str, Any]) -> dict[str, Any]:
    """What differs between tools: CSV has only texts, and some fill up objects with nulls."""
    details = record["details"]
    filled = json.loads(details) if isinstance(details, str) else details
    times = {name: record[name].replace("T", " ")[:19] for name in ("occurred_at", "recorded_at", "updated_at")}
    nullable = {name: record[name] or None for name in ("correlation_id", "source", "event_id")}
    rest = nullable | {"version": int(record["version"])}
    return record | times | rest | {"details": _without_nulls(filled)}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        found = {key: _without_nulls(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item is not None} or None
    return float(value) if isinstance(value, int) else value
