"""Settings of the process and of the database. Each domain declares its own in its `config.py`.

Values come from environment variables, then from `.env` in the project's folder. Each process reads them when it
starts. If one is missing or invalid, it ends with one line that names the variable, and never shows its value.
"""

import re
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from src import database_url
from src.log_lines import MIN_LINE_LIMIT_BYTES

PROJECT_ROOT = Path(__file__).resolve().parent.parent
API_PREFIX = "/api/v1"
EXPLORER_PATH = "/explorer"
# By default rsyslog truncates lines that are longer than 8,096 bytes; a truncated line is no JSON.
LOG_MAX_LINE_BYTES = 8000


class Environment(StrEnum):
    LOCAL = "local"
    STAGING = "staging"
    PRODUCTION = "production"


class FastPath(StrEnum):
    """Parts of the fast path. Without one of them the service answers the same, and takes more CPU."""

    COMPILED_ROUTES = "compiled-routes"
    DIRECT_ENTRANCE = "direct-entrance"
    BATCHED_LOG = "batched-log"
    JOINED_WRITES = "joined-writes"
    WHOLE_ANSWERS = "whole-answers"
    SHARED_TIMER = "shared-timer"
    KEPT_CONNECTIONS = "kept-connections"


class EnvironmentSettings(BaseSettings):
    """The base of all settings: where values are read from, and how an invalid one is reported."""

    model_config = SettingsConfigDict(
        env_file=PROJECT_ROOT / ".env",
        env_ignore_empty=True,
        allow_inf_nan=False,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    request_timeout: float = Field(10, gt=0)
    """Seconds until an answer must have begun. It is here because other classes check their timeouts against it."""

    response_write_timeout: float = Field(20, gt=0)
    """Seconds that a client has to receive what was sent."""

    max_url_bytes: int = Field(8 * 1024, ge=1024)
    """The longest URL of a request. It is here because URLs in answers must not be longer either."""

    fast_paths: Annotated[frozenset[FastPath], NoDecode] = frozenset(FastPath)
    """The parts of the fast path that are on. It is here because one of them is the pool of the database."""

    @field_validator("fast_paths", mode="before")
    @classmethod
    def parse_fast_paths(cls, value: Any) -> Any:
        """Take `all`, `none`, or names separated by commas."""
        if not isinstance(value, str):
            return value
        names = [name.strip() for name in value.split(",")]
        return {"all": frozenset(FastPath), "none": frozenset()}.get(value.strip(), names)

    def broken_rule(self, rule: str, reason: str) -> ValueError:
        """An error that shows the rule, the reason and the values of the variables in `rule`; none may be a secret."""
        values = ", ".join(f"{name} is {getattr(self, name.lower()):.10g}" for name in re.findall("[A-Z_]{2,}", rule))
        return ValueError(f"{rule} must hold, {reason}; {values}")

    @classmethod
    def load(cls) -> Self:
        """Read the settings. Raises `SystemExit` (status 1) with one line if they are invalid."""
        try:
            return cls()
        except ValidationError as error:
            raise SystemExit(f"configuration: {describe_errors(error)} (.env.example lists every variable)") from None
        except UnicodeDecodeError:
            raise SystemExit("configuration: .env must be UTF-8") from None


def describe_errors(error: ValidationError) -> str:
    """One line that says what is wrong with each variable, without its value. A broken rule names its variables."""
    problems = {
        "".join(f"{name}: " for name in problem["loc"][:1]).upper() + _reason(problem["type"], problem["msg"]): None
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
        # Its default depends on another variable, which has an error of its own.
        if problem["type"] != "default_factory_not_called"
    }
    return "; ".join(problems)


def _reason(kind: str, message: str) -> str:
    return "is required and not set" if kind == "missing" else message.removeprefix("Value error, ")


def add_seconds(*seconds: float) -> Decimal:
    """The exact decimal sum: 0.2 + 0.4 is 0.6, where binary fractions give a little more."""
    return sum((Decimal(str(each)) for each in seconds), Decimal())


# Segments of unreserved characters (RFC 3986, 2.3), which have only one spelling in a URL; not "." and ".." (5.2.4).
_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^\s/]+)$")]


class AppSettings(EnvironmentSettings):
    """How the process listens, and the limits for clients. Times are in seconds.

    The head of a request must arrive within `request_head_timeout`, its body within `request_body_timeout` after that,
    and its answer must begin within `request_timeout`. A stop waits for requests in flight, so
    `graceful_shutdown_seconds` is longer than `request_timeout`.
    """

    environment: Environment = Environment.LOCAL
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=64)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_max_line_bytes: int = Field(LOG_MAX_LINE_BYTES, ge=MIN_LINE_LIMIT_BYTES)
    cors_origins: Annotated[tuple[Origin, ...], NoDecode] = ("*",)
    docs_enabled: bool = True
    explorer_enabled: bool = True
    root_path: str = ""
    """The path under which a proxy offers the service, whether or not the proxy removes it from URLs."""

    forwarded_allow_ips: str = ""
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    max_batch_body_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    max_header_bytes: int = Field(16 * 1024, ge=1024)
    max_in_flight: int = Field(32, ge=1)
    max_waiting: int = Field(96, ge=0)
    place_timeout: float = Field(0.4, ge=0.001)
    max_connections: int = Field(1000, ge=1)
    request_head_timeout: float = Field(5, gt=0)
    request_body_timeout: float = Field(8, gt=0)
    keep_alive_timeout: int = Field(5, ge=1)
    graceful_shutdown_seconds: int = Field(12, ge=1)

    @field_validator("log_level", mode="before")
    @classmethod
    def upper_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("root_path")
    @classmethod
    def validate_root_path(cls, value: str) -> str:
        if not _ROOT_PATH.fullmatch(value):
            raise ValueError(
                "must look like /audit: a / before each segment, none at the end, and only A-Z a-z 0-9 -._~"
            )
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def validate_proxies(cls, value: str) -> str:
        for proxy in filter(None, map(str.strip, value.split(","))):
            if proxy != "*":
                try:
                    ip_network(proxy)
                except ValueError:
                    raise ValueError("must be addresses or networks separated by commas, or *") from None
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def split_at_commas(cls, value: Any) -> Any:
        return [origin.strip() for origin in value.split(",")] if isinstance(value, str) else value

    @model_validator(mode="after")
    def validate_timeouts(self) -> Self:
        if not self.request_body_timeout < self.request_timeout < self.graceful_shutdown_seconds:
            raise self.broken_rule(
                "REQUEST_BODY_TIMEOUT < REQUEST_TIMEOUT < GRACEFUL_SHUTDOWN_SECONDS",
                "so that a stop interrupts no request that would still be answered",
            )
        if self.place_timeout >= self.request_timeout:
            raise self.broken_rule(
                "PLACE_TIMEOUT < REQUEST_TIMEOUT", "so that a request without a place gets an answer"
            )
        return self


# PostgreSQL keeps timeouts as milliseconds in a 32-bit integer.
_Seconds = Annotated[float, Field(ge=0.001, le=2_147_483)]


class Pooler(StrEnum):
    """The pooler between the service and PostgreSQL."""

    NONE = "none"
    # Such as PgBouncer in transaction mode: each transaction may use another connection of PostgreSQL.
    TRANSACTION = "transaction"


class DatabaseSettings(EnvironmentSettings):
    """How the service reaches PostgreSQL. Times are in seconds.

    A request waits at most `pool_timeout` for a connection. PostgreSQL ends a statement after `statement_timeout`, or
    after waiting `lock_timeout` for a lock; if PostgreSQL does not answer, the service gives up after
    `command_timeout`. All of them together must fit into `request_timeout`.

    What sums up records has two connections of its own. All its statements together take at most `aggregate_timeout`,
    and no longer than `statement_timeout`.

    An export has connections of its own, and these limits hold for each fetch. PostgreSQL ends a transaction that waits
    for a slow reader after `stream_idle_timeout`, which is longer than the time after which the reader is disconnected.
    """

    database_url: SecretStr
    database_pooler: Pooler = Pooler.NONE
    database_pool_size: int = Field(20, ge=1)
    database_max_overflow: int = Field(0, ge=0)
    database_pool_timeout: _Seconds = 0.4
    database_connect_timeout: _Seconds = 2
    database_lock_timeout: _Seconds = 1
    database_statement_timeout: _Seconds = 1.5
    database_command_timeout: _Seconds = 2
    database_idle_timeout: _Seconds = 5

    database_aggregate_timeout: _Seconds = 0.4

    database_stream_pool_size: int = Field(2, ge=1)
    database_stream_idle_timeout: _Seconds = 30

    @property
    def aggregate_seconds(self) -> float:
        """How long all statements of an aggregate take at most."""
        return min(self.database_aggregate_timeout, self.database_statement_timeout)

    @field_validator("database_url")
    @classmethod
    def validate_database_url(cls, value: SecretStr) -> SecretStr:
        return SecretStr(database_url.normalize(value.get_secret_value()))

    @model_validator(mode="after")
    def validate_timeouts(self) -> Self:
        if not self.database_lock_timeout <= self.database_statement_timeout < self.database_command_timeout:
            raise self.broken_rule(
                "DATABASE_LOCK_TIMEOUT <= DATABASE_STATEMENT_TIMEOUT < DATABASE_COMMAND_TIMEOUT",
                "so that the server gives up before the client does",
            )
        longest = add_seconds(self.database_pool_timeout, self.database_connect_timeout, self.database_command_timeout)
        if longest >= add_seconds(self.request_timeout):
            raise self.broken_rule(
                "DATABASE_POOL_TIMEOUT + DATABASE_CONNECT_TIMEOUT + DATABASE_COMMAND_TIMEOUT < REQUEST_TIMEOUT",
                "so that a request that waits in vain gets an answer that says for what",
            )
        if self.response_write_timeout >= self.database_stream_idle_timeout:
            raise self.broken_rule(
                "RESPONSE_WRITE_TIMEOUT < DATABASE_STREAM_IDLE_TIMEOUT",
                "so that a reader is given up before the transaction that waits for it",
            )
        return self
