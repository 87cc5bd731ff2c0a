"""A program that prints what it finds around it, for `tests/test_programs.py`."""

import gc
import json
import os
import signal
import sys
import threading

if __name__ == "__main__":
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)]
    seen = {
        "arguments": sys.argv,
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109 (a string)
        "path": sys.path,
        "module": sys.modules["__main__"].__spec__.name,  # type: ignore[union-attr]
        "collects garbage": gc.isenabled(),
        "files": sorted(os.listdir("/proc/self/fd")),  # noqa: PTH208 (a list of strings)
        "handlers": list(map(str, handlers)),
        "blocked": list(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "threads": threading.active_count(),
        "programs": [name for name in sys.modules if name.endswith("__main__")],
    }
    sys.stdout.write(json.dumps(seen))
    sys.stderr.write("and this line\n")
    sys.exit(7)
