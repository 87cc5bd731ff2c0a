"""Logging to stdout: each line is one JSON object, which includes the ids of its request."""

import logging
from contextvars import ContextVar
from functools import partial
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from typing_extensions import override

from src.config import LOG_MAX_LINE_BYTES
from src.log_lines import to_line

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)


class RequestContextFilter(logging.Filter):
    """Adds the ids of the current request to each record, unless the record has a request id itself."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = getattr(record, "request_id", None) or request_id.get()
        record.trace_id = trace_id.get()
        return True


def logging_config(level: str, max_line_bytes: int = LOG_MAX_LINE_BYTES) -> dict[str, Any]:
    """The configuration for `logging.config.dictConfig` and for uvicorn, which applies it in each of its processes."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_context": {"()": RequestContextFilter}},
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "fmt": ["timestamp", "levelname", "name", "message", "request_id", "trace_id"],
                "rename_fields": {"levelname": "level", "name": "logger"},
                "timestamp": True,
                "json_serializer": partial(to_line, max_bytes=max_line_bytes),
                # uvicorn's copy of the message, for terminals.
                "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
            }
        },
        "handlers": {
            "stdout": {
                "class": "src.access_log.BatchingHandler",
                "stream": "ext://sys.stdout",
                "max_line_bytes": max_line_bytes,
                "formatter": "json",
                "filters": ["request_context"],
            }
        },
        "loggers": {
            # Alembic logs each of its plugins at every start.
            "alembic.runtime.plugins": {"level": "WARNING"},
            # It warns of each failed attempt to reach the collector. When it gives up, it logs an error.
            "opentelemetry.exporter": {"level": "ERROR"},
        },
        "root": {"level": level, "handlers": ["stdout"]},
    }
