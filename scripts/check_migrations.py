"""`python -m scripts.check_migrations`: the migrations make the tables that the models declare."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.postgres import postgres

ROOT = Path(__file__).resolve().parent.parent
ALEMBIC = [sys.executable, "-m", "alembic"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder), durable=False) as cluster:
        environment = {**os.environ, "DATABASE_URL": cluster.url(), "LOG_LEVEL": "WARNING"}
        for command in (["upgrade", "head"], ["check"]):
            if subprocess.run([*ALEMBIC, *command], cwd=ROOT, env=environment).returncode:
                sys.exit("the migrations and src/*/models.py disagree: write a revision with make migration")


if __name__ == "__main__":
    main()
