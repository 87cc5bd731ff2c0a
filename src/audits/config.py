"""Settings of the audits domain."""

from pydantic import Field

from src.config import EnvironmentSettings


class AuditSettings(EnvironmentSettings):
    idempotency_key_hours: int = Field(24, ge=24, le=24 * 365)
    """How long the service keeps an idempotency key."""
