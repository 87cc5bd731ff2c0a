"""`python -m src` serves on `HOST` and `PORT` with `WORKERS` processes."""

import gc
import signal
import sys
from types import FrameType

# What imports make is no garbage, and to look for some takes a tenth of the start (tests/benchmarks/README.md). The
# application switches it on when it has started.
gc.disable()

from src.settings import Settings  # noqa: E402
from src.web import server  # noqa: E402


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
