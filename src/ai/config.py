"""Settings of the AI domain."""

import json
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    HttpUrl,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from src.config import EnvironmentSettings

ModelName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]


class AIProfile(StrEnum):
    """Whose models are called, which sets the times that are not set themselves."""

    HOSTED = "hosted"
    # Models on one's own machine: 10 tokens a second, and up to three minutes until the first one.
    LOCAL = "local"


def _seconds(hosted: float, local: float) -> Any:
    return Field(
        default_factory=lambda data: {AIProfile.HOSTED: hosted, AIProfile.LOCAL: local}[data["ai_profile"]], gt=0
    )


class AISettings(EnvironmentSettings):
    """How the service calls the provider. Times are in seconds.

    A whole call ends within its deadline, the wait for a place included: `ai_deadline` for an answer as a whole,
    `ai_query_deadline` for a question, `ai_summary_deadline` for a summary, `ai_stream_deadline` for a stream. It ends
    earlier when a connection takes `ai_connect_timeout`, or when `ai_read_timeout` passes without any progress of the
    model. Questions and summaries by default have time for all their tokens at 30 a second.

    Each worker makes at most `ai_max_in_flight` plain calls and `ai_max_streams` streams at once; others wait up to
    `ai_place_timeout` for a place. After `ai_breaker_failures` outages in a row within `ai_breaker_window`, no call is
    made for `ai_breaker_pause`.
    """

    openai_api_key: SecretStr | None = None
    openai_base_url: HttpUrl = HttpUrl("https://api.openai.com/v1")
    ai_model: ModelName = "gpt-5.4-mini"
    ai_allowed_models: Annotated[tuple[ModelName, ...], NoDecode] = Field(
        default_factory=lambda data: (data["ai_model"],)
    )
    ai_profile: AIProfile = AIProfile.HOSTED
    ai_deadline: float = _seconds(8, local=180)
    ai_query_deadline: float = _seconds(40, local=240)
    ai_summary_deadline: float = _seconds(90, local=480)
    ai_stream_deadline: float = _seconds(60, local=480)
    ai_connect_timeout: float = Field(1, gt=0)
    ai_read_timeout: float = _seconds(10, local=180)
    ai_max_attempts: int = Field(2, ge=1, le=5)
    ai_max_in_flight: int = Field(20, ge=1)
    ai_max_streams: int = Field(20, ge=1)
    ai_place_timeout: float = _seconds(0.5, local=10)
    ai_breaker_failures: int = Field(5, ge=1, le=1_000)
    ai_breaker_window: float = _seconds(30, local=900)
    ai_breaker_pause: float = Field(5, gt=0)

    @field_validator("openai_api_key")
    @classmethod
    def blank_to_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value and value.get_secret_value().strip() else None

    @field_validator("ai_allowed_models", mode="before")
    @classmethod
    def split_at_commas(cls, value: Any) -> Any:
        """Accepts `a, b` and `["a", "b"]`."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return [name for name in map(str.strip, value.split(",")) if name]

    @field_validator("ai_allowed_models")
    @classmethod
    def validate_default_model(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "ai_model" in info.data and info.data["ai_model"] not in value:
            raise ValueError("must contain AI_MODEL")
        return value

    @model_validator(mode="after")
    def validate_deadlines(self) -> Self:
        for deadline in ("AI_DEADLINE", "AI_QUERY_DEADLINE", "AI_SUMMARY_DEADLINE", "AI_STREAM_DEADLINE"):
            if self.ai_connect_timeout > getattr(self, deadline.lower()):
                raise self.broken_rule(f"AI_CONNECT_TIMEOUT <= {deadline}", "so that a call can begin before it ends")
        return self
