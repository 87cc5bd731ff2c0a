"""Imports the tables of every domain, so that `metadata` knows them. Alembic and the tests use it."""

from src.audits import models as audits
from src.database import metadata

__all__ = ["audits", "metadata"]
