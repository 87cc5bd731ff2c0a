"""The bodies of the health endpoints. They are the same for 200 and 503."""

from pydantic import Field

from src.health.constants import AIState, DatabaseState, LedgerCheckState, MigrationState, State
from src.schemas import CustomModel, example


class Live(CustomModel):
    model_config = example({"status": "ok"})

    status: State


class DatabaseCheck(CustomModel):
    status: DatabaseState
    latency_ms: float | None
    detail: str | None = Field(
        description="For operators: what is wrong, and what to do; null if the probe does not know."
    )


class MigrationCheck(CustomModel):
    status: MigrationState
    current: str | None
    expected: str | None


class AICheck(CustomModel):
    status: AIState


class LedgerCheck(CustomModel):
    status: LedgerCheckState = Field(description="None of these keeps the service from serving.")


class Checks(CustomModel):
    database: DatabaseCheck
    migrations: MigrationCheck
    ledger: LedgerCheck
    ai: AICheck


class Health(CustomModel):
    model_config = example(
        {
            "status": "ok",
            "version": "0.1.0",
            "checks": {
                "database": {"status": "ok", "latency_ms": 0.6, "detail": None},
                "migrations": {"status": "ok", "current": "0a1b2c3d4e5f", "expected": "0a1b2c3d4e5f"},
                "ledger": {"status": "ok"},
                "ai": {"status": "not_configured"},
            },
        }
    )

    status: State
    version: str
    checks: Checks
