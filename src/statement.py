"""The fast path to the database: SQLAlchemy compiles a statement once, and asyncpg runs it.

Why: `AutocommitConnection.execute` takes longer to read a record (tests/benchmarks/README.md), because it compiles the
statement and makes a result object. Most domains do not need `Statement`; audits do, since most requests are for them.
To switch it off, use `execute`.

How to use it: build the statement once, as a constant or with `cached_statement`. Let PostgreSQL return each row as a
JSON object (`json_object` in `src/shaped.py`), which Pydantic validates in one call. Run the statement with
`AutocommitConnection.fetch`:

    GET = Statement(select(json_object(audit.c)).where(audit.c.id == bindparam("audit_id")))
    found = await connection.fetch_column(GET, audit_id=audit_id)
    Audit.model_validate_json(found[0])

asyncpg gets the parameters unchanged: a time must be a `datetime`, and JSON must be text.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = dialect()  # type: ignore[no-untyped-call]

cached_statement = lru_cache(512)
"""Decorates a function that makes a `Statement` for each combination of filters.

To compile one takes long (tests/benchmarks/README.md), and most requests use the same few combinations.
"""


class Statement:
    """Compiled SQL, and the order of its parameters."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        assert isinstance(compiled, SQLCompiler)
        self.sql = compiled.string
        self._names = compiled.positiontup or []
        self._constants = compiled.params

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters in the order in which the SQL takes them: `values`, else the statement's own constants."""
        return [values[name] if name in values else self._constants[name] for name in self._names]
