"""Records as a stream of NDJSON or CSV, in constant memory."""

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

# A row can take 64 KiB and more: so many are fetched at once, and one after another is parsed and written, which takes
# several times its size. Measured: 6 in 100 more records a second than with a hundred; another tenth with 400.
# A piece is sent when it has this many bytes.
ROWS_AT_ONCE = 150
_PIECE_BYTES = 64 * 1024


async def open_export(connection: AsyncConnection, query: ExportQuery) -> AsyncIterator[bytes]:
    """The first rows are fetched here and one is parsed, so that what fails can still be answered with a problem."""
    values = filters.values(query)
    statement = select(AS_JSON).where(*filters.conditions(values)).order_by(*filters.ordering(query.order))
    rows = await connection.stream_scalars(statement, values, execution_options={"yield_per": ROWS_AT_ONCE})
    first = await rows.fetchmany(ROWS_AT_ONCE)
    for row in first[:1]:
        Audit.model_validate_json(row)
    return _write(rows, first, query)


async def _write(rows: AsyncScalarResult[str], fetched: Sequence[str], query: ExportQuery) -> AsyncIterator[bytes]:
    encode, piece = _ENCODERS[query.format], bytearray(_HEADERS[query.format])
    records, digest = 0, hashlib.sha256()
    while fetched:
        records += len(fetched)
        for row in fetched:
            piece += encode(Audit.model_validate_json(row))
            if len(piece) >= _PIECE_BYTES:
                if query.summary:
                    digest.update(piece)
                yield bytes(piece)
                piece.clear()
        fetched = await rows.fetchmany(ROWS_AT_ONCE)
    if query.summary:
        digest.update(piece)
        piece += _SUMMARIES[query.format] % to_json(
            {"complete": True, "records": records, "sha256": digest.hexdigest()}
        )
    yield bytes(piece)


def _encode_ndjson(audit: Audit) -> bytes:
    return to_json(audit) + b"\n"


def _encode_csv(audit: Audit) -> bytes:
    return _encode_row([_cell(value) for value in audit.model_dump(mode="json").values()])


def _encode_row(cells: Sequence[Any]) -> bytes:
    """RFC 4180: a line ends with CRLF, and a cell that holds a comma, a quote or a line break is quoted."""
    row: str = _CSV.writerow(cells)
    return row.encode()


class _Echo:
    """A file that hands back what is written: a writer of its own for each row takes 1 us of 9."""

    def write(self, text: str) -> str:
        return text


_CSV = csv.writer(_Echo())


def _cell(value: Any) -> Any:
    """A spreadsheet runs a cell that begins like a formula; a quote before it makes it text.

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
# What follows the last record, where it is asked for.
_SUMMARIES = {ExportFormat.NDJSON: b"%s\n", ExportFormat.CSV: b"# %s\r\n"}
