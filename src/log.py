"""Logging: one JSON object a line on stdout, each with the request it belongs to."""

import logging
from contextvars import ContextVar
from functools import partial
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS

from src.config import LOG_MAX_LINE_BYTES
from src.log_lines import to_line

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)


class RequestContextFilter(logging.Filter):
    """Give every record the ids of the request in whose context it was written, unless it names one itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = getattr(record, "request_id", None) or request_id.get()
        record.trace_id = trace_id.get()
        return True


def logging_config(level: str, max_line_bytes: int = LOG_MAX_LINE_BYTES) -> dict[str, Any]:
    """For `logging.config.dictConfig`, and for uvicorn, which applies it in each of its processes."""
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
                # color_message is uvicorn's copy of the message for terminals
                "reserved_attrs": [*RESERVED_ATTRS, "color_message"],
            }
        },
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json",
                "filters": ["request_context"],
            }
        },
        "loggers": {
            # It names each of its plugins at every start.
            "alembic.runtime.plugins": {"level": "WARNING"},
            # Each attempt at a collector that is away; what is given up is an error.
            "opentelemetry.exporter": {"level": "ERROR"},
        },
        "root": {"level": level, "handlers": ["stdout"]},
    }
