"""Imports the tables of every domain, so that `metadata` knows them. Alembic and the tests use it."""

from src.audits import models as audits
from src.database import metadata
from src.ledger import models as ledger

__all__ = ["audits", "ledger", "metadata"]
