"""`python -m src`: serve, on `HOST` and `PORT`, with `WORKERS` processes."""

import signal
import sys
from types import FrameType

import uvicorn

from src.ai.config import AISettings
from src.audits.config import AuditSettings
from src.config import AppSettings, DatabaseSettings
from src.observability import logging_config


def main() -> None:
    settings = AppSettings.load()
    DatabaseSettings.load()
    AuditSettings.load()
    AISettings.load()
    # uvicorn raises the signal that stopped it once more when it has ended cleanly: that is success.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    uvicorn.run(
        "src.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_config=logging_config(settings.log_level),
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.forwarded_allow_ips),
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_graceful_shutdown=settings.graceful_shutdown_seconds,
        ws="none",
    )


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
