"""Exports: records as a stream of NDJSON, CSV or OCSF events, in constant memory.

PostgreSQL writes each cell as the format has it. Here the cells are validated, and put together into lines: to write
the validated values anew takes two to three times as long (tests/benchmarks/README.md).
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Any

import asyncpg
from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema, to_json
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    String,
    Text,
    case,
    cast,
    collate,
    func,
    literal_column,
    select,
)

from src.audits import filters, ocsf
from src.audits.constants import ActorType, AuditStatus, ExportFormat
from src.audits.models import audit
from src.audits.schemas import Audit, ExportQuery
from src.audits.statements import FIELDS
from src.json_numbers import with_exponents
from src.pagination import Order
from src.shaped import utc_text
from src.snapshot import SnapshotConnection
from src.statement import Statement

# A row can take 64 KiB and more, and several times that while it is validated. Why not more:
# tests/benchmarks/README.md.
ROWS_PER_FETCH = 150
_CHUNK_BYTES = 64 * 1024
# One statement for each combination of filters.
_MAX_CACHED_STATEMENTS = 512

_DETAILS = FIELDS.index("details")
# Where some readers of lines break a line in two: str.splitlines, iter_lines of httpx.
_LINE_BREAKS = {"\u0085": r"\u0085", "\u2028": r"\u2028", "\u2029": r"\u2029"}
# A spreadsheet runs a text that begins so as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


class _Unread:
    """Validates that a value, or the JSON text of one, is an object, and makes nothing of what is in it."""

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


@lru_cache(_MAX_CACHED_STATEMENTS)
def export_statement(names: tuple[str, ...], form: ExportFormat, order: Order, csv_guard: bool) -> Statement:
    """Selects the cells of the records. `names` are those of the parameters."""
    csv_text = _guarded_csv_text if csv_guard else _csv_text
    write_text = csv_text if form is ExportFormat.CSV else _json_text
    cells = [_cell(column, write_text).label(column.name) for column in _COLUMNS]
    return Statement(select(*cells).where(*filters.predicates(names)).order_by(*filters.sort_order(order)))


async def _write_chunks(
    connection: SnapshotConnection, fetched: Sequence[asyncpg.Record], query: ExportQuery
) -> AsyncIterator[bytes]:
    header = _HEADERS[query.format]
    records, digest = 0, hashlib.sha256(header)
    if header:
        yield header
    while fetched:
        records += len(fetched)
        for rows in _split(fetched):
            chunk = _write(rows, query.format)
            if query.summary:
                digest.update(chunk)
            yield chunk
        fetched = await connection.fetch()
    if query.summary:
        summary = {"complete": True, "records": records, "sha256": digest.hexdigest()}
        yield _SUMMARIES[query.format] % to_json(summary)


def _split(rows: Sequence[asyncpg.Record]) -> Iterator[Sequence[asyncpg.Record]]:
    """The rows in groups, each of which is validated and sent at once: a group ends where it has 64 KiB of details."""
    start = size = 0
    for end, row in enumerate(rows, 1):
        size += len(row[_DETAILS])
        if size >= _CHUNK_BYTES:
            yield rows[start:end]
            start, size = end, 0
    if start < len(rows):
        yield rows[start:]


def _write(rows: Sequence[asyncpg.Record], form: ExportFormat) -> bytes:
    cells = [tuple(row) for row in rows]
    _rows.validate_python(cells)
    # JSON has no line break, so the details of all rows are one text here.
    details = with_exponents("\n".join([row[_DETAILS] for row in cells]).encode()).decode()
    if form is ExportFormat.CSV:
        details = details.replace('"', '""')
    line = _LINES[form]
    lines = [
        line % (*row[:_DETAILS], cell, *row[_DETAILS + 1 :])
        for row, cell in zip(cells, details.split("\n"), strict=True)
    ]
    if form is ExportFormat.OCSF:
        lines = [ocsf.to_line(Audit.model_validate_json(line), line[:-1]) + "\n" for line in lines]
    text = "".join(lines)
    if form is not ExportFormat.CSV:
        for character, escaped in _LINE_BREAKS.items():
            text = text.replace(character, escaped)
    return text.encode()


def _cell(column: Column[Any], write_text: Callable[[Column[str]], ColumnElement[str]]) -> ColumnElement[str]:
    if isinstance(column.type, DateTime):
        return utc_text(column)
    return write_text(column) if _may_be_any_text(column) else cast(column, Text)


def _may_be_any_text(column: Column[Any]) -> bool:
    """Whether the value has to be escaped. Once they are validated, the others do not."""
    return isinstance(column.type, String) and Audit.model_fields[column.name].annotation not in (
        ActorType,
        AuditStatus,
    )


# A null where there must be none stays one in the cell, so that it is not valid.


def _json_text(column: Column[str]) -> ColumnElement[str]:
    # If another release has made it a column of numbers, PostgreSQL refuses this. The collation is the column's own.
    text = cast(func.to_json(collate(column, "C")), Text)
    return func.coalesce(text, _literal("null")) if column.nullable else text


def _csv_text(column: Column[str]) -> ColumnElement[str]:
    return _csv_cell(column, column)


def _guarded_csv_text(column: Column[str]) -> ColumnElement[str]:
    """With an apostrophe before a formula."""
    starts: list[ColumnElement[int]] = [literal_column(str(ord(character))) for character in _FORMULA_STARTS]
    return _csv_cell(column, case((func.ascii(column).in_(starts), _literal("''") + column), else_=column))


def _csv_cell(column: Column[str], text: ColumnElement[str]) -> ColumnElement[str]:
    """RFC 4180: quoted where a comma, a quote or a line break is in it. A null is empty."""
    quote = _literal('"')
    quoted = quote + func.replace(text, quote, quote + quote, type_=Text) + quote
    cell = case((column.regexp_match(_literal(r'[",\r\n]')), quoted), else_=text)
    return func.coalesce(cell, _literal("")) if column.nullable else cell


def _literal(text: str) -> ColumnElement[str]:
    return literal_column(f"'{text}'", Text)


def _json_member(column: Column[Any]) -> str:
    is_json = _may_be_any_text(column) or isinstance(column.type, Integer | JSON)
    return f'"{column.name}":%s' if is_json else f'"{column.name}":"%s"'


_COLUMNS = [audit.c[name] for name in FIELDS]
# How the cells of a record become a line.
_JSON_LINE = f"{{{','.join(map(_json_member, _COLUMNS))}}}\n"
_LINES = {
    ExportFormat.NDJSON: _JSON_LINE,
    ExportFormat.OCSF: _JSON_LINE,
    ExportFormat.CSV: ",".join('"%s"' if name == "details" else "%s" for name in FIELDS) + "\r\n",
}
_HEADERS = {ExportFormat.NDJSON: b"", ExportFormat.OCSF: b"", ExportFormat.CSV: f"{','.join(FIELDS)}\r\n".encode()}
# The last line of an export, if the client asks for a summary.
_SUMMARIES = {ExportFormat.NDJSON: b"%s\n", ExportFormat.OCSF: b"%s\n", ExportFormat.CSV: b"# %s\r\n"}
