"""Exports: records as a stream of NDJSON or CSV, in constant memory."""

import csv
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncScalarResult

from src.audits import filters
from src.audits.constants import ExportFormat
from src.audits.schemas import Audit, ExportQuery
from src.audits.statements import AS_JSON
from src.json_numbers import with_exponents

# A row can take 64 KiB and more, and several times that while it is parsed. Why not more: tests/benchmarks/README.md.
ROWS_PER_FETCH = 150
_CHUNK_BYTES = 64 * 1024


async def open_export(connection: AsyncConnection, query: ExportQuery) -> AsyncIterator[bytes]:
    """Start the export, and return its chunks.

    The first rows are fetched before this returns, and one of them is parsed: if that fails, the client still gets a
    problem document. Raises `sqlalchemy.exc.DBAPIError`, `pydantic.ValidationError`.
    """
    parameters = filters.parameters(query)
    statement = select(AS_JSON).where(*filters.predicates(parameters)).order_by(*filters.sort_order(query.order))
    rows = await connection.stream_scalars(statement, parameters, execution_options={"yield_per": ROWS_PER_FETCH})
    first = await rows.fetchmany(ROWS_PER_FETCH)
    for row in first[:1]:
        Audit.model_validate_json(row)
    return _write_chunks(rows, first, query)


async def _write_chunks(
    rows: AsyncScalarResult[str], fetched: Sequence[str], query: ExportQuery
) -> AsyncIterator[bytes]:
    encode, chunk = _ENCODERS[query.format], bytearray(_HEADERS[query.format])
    records, digest = 0, hashlib.sha256()
    while fetched:
        records += len(fetched)
        for row in fetched:
            chunk += encode(Audit.model_validate_json(with_exponents(row.encode())))
            if len(chunk) >= _CHUNK_BYTES:
                if query.summary:
                    digest.update(chunk)
                yield bytes(chunk)
                chunk.clear()
        fetched = await rows.fetchmany(ROWS_PER_FETCH)
    if query.summary:
        digest.update(chunk)
        chunk += _SUMMARIES[query.format] % to_json(
            {"complete": True, "records": records, "sha256": digest.hexdigest()}
        )
    yield bytes(chunk)


def _encode_ndjson(audit: Audit) -> bytes:
    return to_json(audit) + b"\n"


def _encode_csv(audit: Audit) -> bytes:
    return _encode_row([_format_cell(value) for value in audit.model_dump(mode="json").values()])


def _encode_row(cells: Sequence[Any]) -> bytes:
    """One line of CSV (RFC 4180): it ends with CRLF, and cells with commas, quotes or line breaks are quoted."""
    row: str = _CSV.writerow(cells)
    return row.encode()


class _EchoFile:
    """A file that returns what is written to it, so that all rows share one `csv.writer`."""

    def write(self, text: str) -> str:
        return text


_CSV = csv.writer(_EchoFile())


def _format_cell(value: Any) -> Any:
    """The value as a cell. A quote is put before text that a spreadsheet would run as a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    if isinstance(value, dict):
        return to_json(value).decode()
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


_HEADERS = {ExportFormat.NDJSON: b"", ExportFormat.CSV: _encode_row(list(Audit.model_fields))}
_ENCODERS: dict[ExportFormat, Callable[[Audit], bytes]] = {
    ExportFormat.NDJSON: _encode_ndjson,
    ExportFormat.CSV: _encode_csv,
}
# The last line of an export, if the client asks for a summary.
_SUMMARIES = {ExportFormat.NDJSON: b"%s\n", ExportFormat.CSV: b"# %s\r\n"}
