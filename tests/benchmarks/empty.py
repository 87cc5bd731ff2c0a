"""An empty FastAPI route behind the service's middleware and log: what `/health/live` is measured against.

`BARE=yes` leaves the middleware out, and its log with it.
"""

import os

import uvicorn
from fastapi import FastAPI

from src import main
from src.config import AppSettings
from src.log import logging_config

settings = AppSettings.load()
middleware = [] if os.environ.get("BARE") else main._middleware(settings)  # noqa: SLF001 (the very same, not a copy)
app = FastAPI(openapi_url=None, middleware=middleware)


@app.get("/health/live")
async def empty() -> None:
    pass


if __name__ == "__main__":
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=logging_config(settings.log_level),
        access_log=False,
        server_header=False,
        ws="none",
    )
