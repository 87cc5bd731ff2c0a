"""`python -m src` serves on `HOST` and `PORT` with `WORKERS` processes."""

import signal
import sys
from types import FrameType

from src.settings import Settings
from src.web import server


def main() -> None:
    settings = Settings.load()
    # After a clean stop uvicorn raises the signal that stopped it again. These handlers make that exit status 0.
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    server.serve(settings.app)


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main()
