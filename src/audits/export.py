"""Exports: records as a stream of NDJSON, CSV or OCSF events, in constant memory.

PostgreSQL writes each record as a JSON object, or for CSV each of its cells. Here they are validated, and put together:
to write the validated values anew takes two to three times as long (tests/benchmarks/README.md).
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any

import asyncpg
from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema, to_json
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    String,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
)

from src.audits import filters, ocsf
from src.audits.constants import ActorType, AuditStatus, ExportFormat
from src.audits.models import audit
from src.audits.schemas import Audit, ExportQuery
from src.audits.statements import FIELDS, READER
from src.json_numbers import with_exponents
from src.pagination import Order
from src.shaped import escape_line_breaks, json_object, utc_text
from src.snapshot import SnapshotConnection
from src.statement import Statement, cached_statement

# A row can take 64 KiB and more, and several times that while it is validated. Why not more:
# tests/benchmarks/README.md.
ROWS_PER_FETCH = 150
_CHUNK_BYTES = 64 * 1024

_DETAILS = FIELDS.index("details")
# A spreadsheet runs a text that begins so as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


class _Unread:
    """Validates that a value, or the JSON text of one, is an object, and does not read its members."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_schema(core_schema.typed_dict_schema({}, extra_behavior="ignore"))


class _StoredAudit(Audit):
    details: Annotated[dict[str, Any], _Unread()]


_fields = [Annotated[field.annotation, field] for field in _StoredAudit.model_fields.values()]
_rows: TypeAdapter[Any] = TypeAdapter(list[tuple[tuple(_fields)]])  # type: ignore[arg-type, misc]


async def open_export(connection: SnapshotConnection, query: ExportQuery) -> AsyncIterator[bytes]:
    """Start the export, and return its chunks.

    The first rows are fetched before this returns, and one of them is validated: if that fails, the client still gets a
    problem document. Raises `sqlalchemy.exc.DBAPIError`, `pydantic.ValidationError`.
    """
    parameters = filters.parameters(query)
    statement = export_statement(tuple(parameters), query.format, query.order, query.csv_guard)
    await connection.execute(statement, ROWS_PER_FETCH, **parameters)
    first = await connection.fetch()
    if first:
        _write(first[:1], query.format)
    return _write_chunks(connection, first, query)


@cached_statement
def export_statement(names: tuple[str, ...], form: ExportFormat, order: Order, csv_guard: bool) -> Statement:
    """Selects each record as JSON, or its cells of CSV. `names` are the names of the parameters."""
    shaped: list[ColumnElement[str]] = [_JSON]
    if form is ExportFormat.CSV:
        write_text = _guarded_csv_text if csv_guard else _csv_text
        shaped = [_csv_cell(column, write_text).label(column.name) for column in _COLUMNS]
    return Statement(select(*shaped).where(*filters.predicates(names)).order_by(*filters.sort_order(order)))


async def _write_chunks(
    connection: SnapshotConnection, fetched: Sequence[asyncpg.Record], query: ExportQuery
) -> AsyncIterator[bytes]:
    header = _HEADERS[query.format]
    records, digest = 0, hashlib.sha256(header)
    if header:
        yield header
    while fetched:
        records += len(fetched)
        for rows in _split(fetched, query.format):
            chunk = _write(rows, query.format)
            if query.summary:
                digest.update(chunk)
            yield chunk
        fetched = await connection.fetch()
    if query.summary:
        summary = {"complete": True, "records": records, "sha256": digest.hexdigest()}
        yield _SUMMARIES[query.format] % to_json(summary)


def _split(rows: Sequence[asyncpg.Record], form: ExportFormat) -> Iterator[Sequence[asyncpg.Record]]:
    """The rows in groups, each of which is validated and sent at once: a group ends where it has 64 KiB."""
    # In a row of CSV only the details may be large.
    largest = _DETAILS if form is ExportFormat.CSV else 0
    start = size = 0
    for end, row in enumerate(rows, 1):
        size += len(row[largest])
        if size >= _CHUNK_BYTES:
            yield rows[start:end]
            start, size = end, 0
    if start < len(rows):
        yield rows[start:]


def _write(rows: Sequence[asyncpg.Record], form: ExportFormat) -> bytes:
    if form is ExportFormat.CSV:
        return _write_csv([tuple(row) for row in rows])
    records: list[str] = [row[0] for row in rows]
    READER.read(records)
    # JSON has no line break, so all records are one text here.
    text = with_exponents("\n".join(records).encode()).decode()
    if form is ExportFormat.OCSF:
        text = "\n".join(ocsf.to_line(Audit.model_validate_json(record), record) for record in text.split("\n"))
    return f"{escape_line_breaks(text)}\n".encode()


def _write_csv(rows: Sequence[tuple[Any, ...]]) -> bytes:
    _rows.validate_python(rows)
    details = with_exponents("\n".join([row[_DETAILS] for row in rows]).encode()).decode().replace('"', '""')
    return "".join(
        _CSV_LINE % (*row[:_DETAILS], cell, *row[_DETAILS + 1 :])
        for row, cell in zip(rows, details.split("\n"), strict=True)
    ).encode()


def _csv_cell(column: Column[Any], write_text: Callable[[Column[str]], ColumnElement[str]]) -> ColumnElement[str]:
    if isinstance(column.type, DateTime):
        return utc_text(column)
    return write_text(column) if _may_be_any_text(column) else cast(column, Text)


def _may_be_any_text(column: Column[Any]) -> bool:
    """Whether the value has to be escaped. Once they are validated, the others do not."""
    return isinstance(column.type, String) and Audit.model_fields[column.name].annotation not in (
        ActorType,
        AuditStatus,
    )


# A null in a column that allows none stays null in the cell, so that the cell is not valid.


def _csv_text(column: Column[str]) -> ColumnElement[str]:
    return _quoted(column, column)


def _guarded_csv_text(column: Column[str]) -> ColumnElement[str]:
    """With an apostrophe before a formula."""
    starts: list[ColumnElement[int]] = [literal_column(str(ord(character))) for character in _FORMULA_STARTS]
    return _quoted(column, case((func.ascii(column).in_(starts), _literal("''") + column), else_=column))


def _quoted(column: Column[str], text: ColumnElement[str]) -> ColumnElement[str]:
    """RFC 4180: quoted where a comma, a quote or a line break is in it. A null is empty."""
    quote = _literal('"')
    quoted = quote + func.replace(text, quote, quote + quote, type_=Text) + quote
    cell = case((column.regexp_match(_literal(r'[",\r\n]')), quoted), else_=text)
    return func.coalesce(cell, _literal("")) if column.nullable else cell


def _literal(text: str) -> ColumnElement[str]:
    return literal_column(f"'{text}'", Text)


_COLUMNS = [audit.c[name] for name in FIELDS]
_JSON = json_object(_COLUMNS, times_sort_as_text=True).label("record")
_CSV_LINE = ",".join('"%s"' if name == "details" else "%s" for name in FIELDS) + "\r\n"
_HEADERS = {ExportFormat.NDJSON: b"", ExportFormat.OCSF: b"", ExportFormat.CSV: f"{','.join(FIELDS)}\r\n".encode()}
# The last line of an export, if the client asks for a summary.
_SUMMARIES = {ExportFormat.NDJSON: b"%s\n", ExportFormat.OCSF: b"%s\n", ExportFormat.CSV: b"# %s\r\n"}
