"""`python -m scripts.check_migrations`: check that the migrations create the tables that the models declare."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from scripts.postgres import postgres

ROOT = Path(__file__).resolve().parent.parent
STEPS = {
    ("upgrade", "head"): "a migration cannot be applied: fix what is said above, in alembic/versions",
    ("check",): "the migrations and src/*/models.py disagree: write a revision with make migration",
}


def main() -> None:
    last = ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_revisions("heads")
    if len(last) > 1:
        names = " and ".join(sorted(Path(revision.path).name for revision in last if revision))
        sys.exit(f"alembic/versions: nothing follows {names}: make one the down_revision of the other")
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder), durable=False) as cluster:
        environment = {**os.environ, "DATABASE_URL": cluster.url(), "LOG_LEVEL": "WARNING"}
        for step, failed in STEPS.items():
            if subprocess.run([sys.executable, "-m", "alembic", *step], cwd=ROOT, env=environment).returncode:
                sys.exit(failed)


if __name__ == "__main__":
    main()
