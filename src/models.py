"""Every table of every domain, known to `metadata` by being imported here: for Alembic and the tests."""

from src.audits import models as audits
from src.database import metadata

__all__ = ["audits", "metadata"]
