"""The explorer in Chromium beside sqladmin over the same records: `EXPLORER=only ROWS=1000000 make bench`."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

from scripts.postgres import Cluster
from src.config import EXPLORER_PATH, PROJECT_ROOT
from tests.benchmarks.databases import fresh_copy
from tests.benchmarks.programs import SERVICE
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import Program, serve

_PEERS = PROJECT_ROOT / "tests" / "peers"
_PYTHON = _PEERS / ".venv" / "bin" / "python"
_SQLADMIN = Program((str(_PYTHON), str(_PEERS / "browser" / "other_viewer.py")))


def measure(cluster: Cluster, log: Path, rows: int) -> list[Figure]:
    chromium = shutil.which("chromium")
    if chromium is None or not _PYTHON.exists():
        raise SystemExit("bench: the explorer needs Debian's chromium, and what make test-peers installs")
    url = asyncio.run(fresh_copy(cluster, rows, "explorer"))
    with serve(SERVICE, url, log) as service, serve(_SQLADMIN, url, log) as other:
        pages = (f"http://127.0.0.1:{service.port}{EXPLORER_PATH}", f"http://127.0.0.1:{other.port}/admin/audit/list")
        command = (_PYTHON, _PEERS / "browser" / "measure.py", chromium, *pages)
        found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=1200).stdout)
    ours, theirs, scrolling = found["explorer"], found["other"], found["scrolling"]
    at = f"at {rows:,}"
    return [
        Figure(
            f"explorer, first rows after its load, p95, {at}", "ms", ours["first_rows_after_load_p95_ms"], at_most=300
        ),
        Figure(
            f"explorer beside sqladmin, first rows, p95, {at}",
            "ms",
            ours["first_rows_p95_ms"],
            theirs["first_rows_p95_ms"],
            at_most=0.2,
        ),
        *(
            Figure(f"explorer beside sqladmin, {what}, {at}", "ms", ours[name], theirs[name])
            for what, name in (
                ("first rows, median", "first_rows_median_ms"),
                ("first rows of the next visit, median", "first_rows_again_median_ms"),
                ("first rows of the next visit, p95", "first_rows_again_p95_ms"),
            )
        ),
        Figure("explorer beside sqladmin, on the wire", "KB", ours["kilobytes"], theirs["kilobytes"]),
        Figure("explorer, on the wire", "KB", ours["kilobytes"], at_most=60),
        Figure(f"explorer, 10,000 rows scrolled, {at}", "ms", scrolling["scroll_ms"], at_most=4000),
        Figure(f"explorer, frames while scrolling, p95, {at}", "ms", scrolling["frame_p95_ms"], at_most=33),
        Figure("explorer, nodes in the list", "", scrolling["nodes"], at_most=400),
    ]
