"""Records as a stream of NDJSON or CSV, in constant memory."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from src.audits import filters
from src.audits.constants import ExportFormat
from src.audits.schemas import Audit, ExportQuery
from src.audits.statements import AS_JSON

# Each can take 64 KiB and more.
_ROWS_AT_ONCE = 250

_audits = TypeAdapter(list[Audit])


async def open_export(connection: AsyncConnection, query: ExportQuery) -> AsyncIterator[bytes]:
    """The first rows are fetched here, so that what fails can still be answered with a problem."""
    statement = select(AS_JSON).where(*filters.conditions(query)).order_by(*filters.ordering(query.order))
    rows = await connection.stream_scalars(statement, execution_options={"yield_per": _ROWS_AT_ONCE})
    first = await rows.fetchmany(_ROWS_AT_ONCE)

    async def write() -> AsyncIterator[bytes]:
        encode = _ENCODERS[query.format]
        if query.format is ExportFormat.CSV:
            yield _encode_rows([list(Audit.model_fields)])
        chunk = first
        while chunk:
            yield encode(_audits.validate_json(f"[{','.join(chunk)}]"))
            chunk = await rows.fetchmany(_ROWS_AT_ONCE)

    return write()


def _encode_ndjson(audits: list[Audit]) -> bytes:
    return b"".join(to_json(audit) + b"\n" for audit in audits)


def _encode_csv(audits: list[Audit]) -> bytes:
    return _encode_rows([[_cell(value) for value in audit.model_dump(mode="json").values()] for audit in audits])


def _encode_rows(rows: Sequence[Sequence[Any]]) -> bytes:
    """RFC 4180: lines end with CRLF, and a cell that holds a comma, a quote or a line break is quoted."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A spreadsheet runs a cell that begins like a formula; a quote before it makes it text.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    if isinstance(value, dict):
        return to_json(value).decode()
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


_ENCODERS: dict[ExportFormat, Callable[[list[Audit]], bytes]] = {
    ExportFormat.NDJSON: _encode_ndjson,
    ExportFormat.CSV: _encode_csv,
}
