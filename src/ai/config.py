"""Settings of the AI domain."""

import json
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

from src.config import EnvironmentSettings, add_seconds

ModelName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]


class AISettings(EnvironmentSettings):
    """How the service calls the provider. Times are in seconds.

    A call ends after `ai_deadline` at the latest. An attempt has `ai_connect_timeout` to connect and `ai_read_timeout`
    for each read; there is another attempt only if both fit before the deadline. A stream begins within `ai_deadline`,
    sends each event within `ai_stream_event_timeout` and ends within `ai_stream_deadline`.

    Each worker makes at most `ai_max_in_flight` calls at once; others wait up to `ai_place_timeout` for a place. After
    `ai_breaker_failures` outages in a row within `ai_breaker_window`, no call is made for `ai_breaker_pause`.
    """

    openai_api_key: SecretStr | None = None
    openai_base_url: HttpUrl = HttpUrl("https://api.openai.com/v1")
    ai_model: ModelName = "gpt-5.4-mini"
    ai_allowed_models: Annotated[tuple[ModelName, ...], NoDecode] = Field(
        default_factory=lambda data: (data["ai_model"],)
    )
    ai_deadline: float = Field(8, gt=0)
    ai_connect_timeout: float = Field(1, gt=0)
    ai_read_timeout: float = Field(5, gt=0)
    ai_max_attempts: int = Field(2, ge=1, le=5)
    ai_stream_event_timeout: float = Field(10, gt=0)
    ai_stream_deadline: float = Field(60, gt=0)
    ai_max_in_flight: int = Field(20, ge=1)
    ai_place_timeout: float = Field(0.5, gt=0)
    ai_breaker_failures: int = Field(5, ge=1, le=1_000)
    ai_breaker_window: float = Field(30, gt=0)
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
    def validate_places(self) -> Self:
        if self.ai_max_in_flight > self.max_in_flight:
            raise self.broken_rule("AI_MAX_IN_FLIGHT <= MAX_IN_FLIGHT", "since no more requests are let in")
        return self

    @model_validator(mode="after")
    def validate_timeouts(self) -> Self:
        if add_seconds(self.ai_connect_timeout, self.ai_read_timeout) > add_seconds(self.ai_deadline):
            raise self.broken_rule(
                "AI_CONNECT_TIMEOUT + AI_READ_TIMEOUT <= AI_DEADLINE",
                "so that one attempt fits the deadline",
            )
        if self.ai_deadline > self.ai_stream_deadline:
            raise self.broken_rule("AI_DEADLINE <= AI_STREAM_DEADLINE", "so that a stream can begin before it ends")
        if add_seconds(self.ai_place_timeout, self.ai_deadline) >= add_seconds(self.request_timeout):
            raise self.broken_rule(
                "AI_PLACE_TIMEOUT + AI_DEADLINE < REQUEST_TIMEOUT",
                "so that a caller is told what has taken so long",
            )
        return self
