"""A sealer of the test's own, and the keys that it signs with."""

from collections.abc import AsyncIterator
from functools import partial

import httpx2
import pytest

from src.config import DatabaseSettings
from src.driver_transaction import driver_transaction
from src.engines import create_ledger_pool
from src.ledger.config import LedgerSettings
from src.ledger.cosignatures import MlDsaSignerKey
from src.ledger.notes import SignerKey
from src.ledger.sealer import Sealer
from src.ledger.witness_task import Transactions
from tests.application import run_application

LEDGER = "/api/v1/ledger"
ORIGIN = "audit.example.org/trail"
KEY = SignerKey(ORIGIN, bytes(range(32)))
MLDSA_KEY = MlDsaSignerKey(ORIGIN, bytes(range(32, 64)))
_SETTINGS = {"ledger_interval": 3600, "ledger_origin": ORIGIN, "ledger_key": KEY.secret}
SIGNED = LedgerSettings.model_validate(_SETTINGS)
SIGNED_TWICE = LedgerSettings.model_validate(_SETTINGS | {"ledger_mldsa_key": MLDSA_KEY.secret})


@pytest.fixture
async def transactions(database: DatabaseSettings) -> AsyncIterator[Transactions]:
    """Opens transactions of the ledger's own pool."""
    pool = create_ledger_pool(database)
    yield partial(driver_transaction, pool)
    await pool.dispose()


@pytest.fixture
async def signed(database: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that has a key."""
    async with run_application(database, SIGNED) as client:
        yield client


@pytest.fixture
def sealer(transactions: Transactions) -> Sealer:
    return Sealer(transactions, SIGNED)
