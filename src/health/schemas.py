"""What the health endpoints answer, with 200 as with 503."""

from src.health.constants import AIState, DatabaseState, MigrationState, State
from src.schemas import CustomModel, example


class Live(CustomModel):
    model_config = example({"status": "ok"})

    status: State


class DatabaseCheck(CustomModel):
    status: DatabaseState
    latency_ms: float | None


class MigrationCheck(CustomModel):
    status: MigrationState
    current: str | None
    expected: str | None


class AICheck(CustomModel):
    status: AIState


class Checks(CustomModel):
    database: DatabaseCheck
    migrations: MigrationCheck
    ai: AICheck


class Health(CustomModel):
    model_config = example(
        {
            "status": "ok",
            "version": "0.1.0",
            "checks": {
                "database": {"status": "ok", "latency_ms": 0.6},
                "migrations": {"status": "ok", "current": "8d41e6b7a2c5", "expected": "8d41e6b7a2c5"},
                "ai": {"status": "not_configured"},
            },
        }
    )

    status: State
    version: str
    checks: Checks
