"""What the health endpoints answer, with 200 as with 503."""

from src.health.constants import AIState, MigrationState, State
from src.schemas import CustomModel


class Live(CustomModel):
    status: State


class DatabaseCheck(CustomModel):
    status: State
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
    status: State
    version: str
    checks: Checks
