"""`read_exports.py TOOL FORMAT FILE`: read an export with a tool, and print its records as lines of JSON.

The options are those that docs/clients.md names.
"""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

Records = list[dict[str, Any]]


def pandas_ndjson(path: str) -> Records:
    import pandas

    frame = pandas.read_json(path, lines=True, dtype=False, precise_float=True)
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def pandas_csv(path: str) -> Records:
    import pandas

    return pandas.read_csv(path, dtype=str, keep_default_na=False).to_dict("records")


def polars_ndjson(path: str) -> Records:
    import polars

    return polars.read_ndjson(path, infer_schema_length=None, schema_overrides={"details": polars.String}).to_dicts()


def polars_csv(path: str) -> Records:
    import polars

    return polars.read_csv(path, infer_schema=False).to_dicts()


def duckdb_ndjson(path: str) -> Records:
    import duckdb

    names = json.loads(first_line(path))
    columns = {name: "JSON" if name == "details" else "BIGINT" if name == "version" else "VARCHAR" for name in names}
    return as_dicts(duckdb.execute("SELECT * FROM read_json(?, columns = ?)", [path, columns]))


def duckdb_parquet(path: str) -> Records:
    """Of an export as NDJSON, by way of a Parquet file."""
    import duckdb

    columns = "{id: 'UUID', occurred_at: 'TIMESTAMPTZ', details: 'JSON'}"
    duckdb.execute(f"COPY (SELECT * FROM read_json('{path}', columns = {columns})) TO 'audits.parquet'")
    return as_dicts(duckdb.execute("SELECT * FROM 'audits.parquet'"))


def duckdb_csv(path: str) -> Records:
    import duckdb

    return as_dicts(duckdb.execute("SELECT * FROM read_csv(?, all_varchar = true)", [path]))


def pyarrow_ndjson(path: str) -> Records:
    from pyarrow import json as pyarrow_json

    return pyarrow_json.read_json(path).to_pylist()


def pyarrow_csv(path: str) -> Records:
    import pyarrow
    from pyarrow import csv

    names = first_line(path).split(",")
    options = csv.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()))
    return csv.read_csv(path, convert_options=options).to_pylist()


def sqlite_ndjson(path: str) -> Records:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE line (record TEXT)")
    with Path(path).open(encoding="utf-8", newline="\n") as lines:
        connection.executemany("INSERT INTO line VALUES (?)", ([line] for line in lines))
    names = json.loads(connection.execute("SELECT record FROM line").fetchone()[0])
    cells = ", ".join(f"record {'->' if name == 'details' else '->>'} '{name}' AS {name}" for name in names)
    return as_dicts(connection.execute(f"SELECT {cells} FROM line"))


def sqlite_csv(path: str) -> Records:
    import csv

    connection = sqlite3.connect(":memory:")
    with Path(path).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
        connection.execute(f"CREATE TABLE audit ({', '.join(f'{name} TEXT' for name in header)})")
        connection.executemany(f"INSERT INTO audit VALUES ({', '.join('?' * len(header))})", rows)
    return as_dicts(connection.execute("SELECT * FROM audit"))


def first_line(path: str) -> str:
    with Path(path).open(encoding="utf-8") as lines:
        return next(lines).strip()


def as_dicts(found: Any) -> Records:
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


if __name__ == "__main__":
    tool, form, file = sys.argv[1:]
    for record in globals()[f"{tool}_{form}"](file):
        print(json.dumps(record, default=str))
