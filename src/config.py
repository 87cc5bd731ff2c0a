"""Settings of the process and of the database; every domain keeps its own beside its code.

Values come from environment variables, then from `.env` in the project's folder. They are read once, at start: what is
missing or malformed ends the process with one line that names the variable and never shows its value.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from src.log_lines import SHORTEST_LIMIT

PROJECT_ROOT = Path(__file__).resolve().parent.parent
API_PREFIX = "/api/v1"
# rsyslog cuts what is longer than 8,096 bytes, unless it is told otherwise; then it is no JSON.
LOG_MAX_LINE_BYTES = 8000


class Environment(StrEnum):
    LOCAL = "local"
    STAGING = "staging"
    PRODUCTION = "production"


class EnvironmentSettings(BaseSettings):
    """What every settings class shares: where values are read from, and how a wrong one is reported."""

    model_config = SettingsConfigDict(
        env_file=PROJECT_ROOT / ".env",
        env_ignore_empty=True,
        allow_inf_nan=False,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    request_timeout: float = Field(10, gt=0)
    """Seconds until an answer must have begun. Every class knows it: what a request waits for has to fit into it."""

    response_write_timeout: float = Field(20, gt=0)
    """Seconds for a client to take what was sent."""

    max_url_bytes: int = Field(8 * 1024, ge=1024)
    """Of a request. Every class knows it: a URL that an answer names has to be one that can be asked for."""

    max_in_flight: int = Field(32, ge=1)
    """Requests of each domain at once: no more calls than this are ever made to a provider."""

    def broken_rule(self, rule: str, reason: str) -> ValueError:
        """`rule` names the variables, of which none is a secret; the error also shows their values."""
        values = ", ".join(f"{name} is {getattr(self, name.lower()):.10g}" for name in re.findall("[A-Z_]{2,}", rule))
        return ValueError(f"{rule} must hold, {reason}; {values}")

    @classmethod
    def load(cls) -> Self:
        """Read the settings, or end the process with one line (`SystemExit`, status 1)."""
        try:
            return cls()
        except ValidationError as error:
            raise SystemExit(f"configuration: {describe(error)} (.env.example lists every variable)") from None
        except UnicodeDecodeError:
            raise SystemExit("configuration: .env must be UTF-8") from None


def describe(error: ValidationError) -> str:
    """Name each variable and what is wrong with it, without its value; a broken rule names its variables itself."""
    problems = {
        "".join(f"{name}: " for name in problem["loc"][:1]).upper() + _reason(problem["type"], problem["msg"]): None
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
        # It waits for another variable, which is named.
        if problem["type"] != "default_factory_not_called"
    }
    return "; ".join(problems)


def _reason(kind: str, message: str) -> str:
    return "is required and not set" if kind == "missing" else message.removeprefix("Value error, ")


def total(*seconds: float) -> Decimal:
    """As they are written: 0.2 and 0.4 are 0.6 here, and more than that as binary fractions."""
    return sum((Decimal(str(each)) for each in seconds), Decimal())


_LAST_PORT = 65535

# Segments of unreserved characters (RFC 3986, 2.3), which nobody writes in two ways, but not . and .. (5.2.4).
_ROOT_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^\s/]+)$")]


class AppSettings(EnvironmentSettings):
    """How the process listens, and what a client may take of it. Times are in seconds.

    A request's head has `request_head_timeout` to arrive, its body `request_body_timeout` from then on, and its answer
    must begin before `request_timeout`: a stop, which waits for all that is in flight, takes longer than any of it.
    """

    environment: Environment = Environment.LOCAL
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=_LAST_PORT)
    workers: int = Field(1, ge=1, le=64)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_max_line_bytes: int = Field(LOG_MAX_LINE_BYTES, ge=SHORTEST_LIMIT)
    cors_origins: Annotated[list[Origin], NoDecode] = ["*"]
    docs_enabled: bool = True
    root_path: str = ""
    """Under which path a proxy offers the service, whether it takes it away or not."""

    forwarded_allow_ips: str = ""
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    max_batch_body_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    max_header_bytes: int = Field(16 * 1024, ge=1024)
    max_waiting: int = Field(96, ge=0)
    place_timeout: float = Field(0.4, ge=0.001)
    max_connections: int = Field(1000, ge=1)
    request_head_timeout: float = Field(5, gt=0)
    request_body_timeout: float = Field(8, gt=0)
    keep_alive_timeout: int = Field(5, ge=1)
    graceful_shutdown_seconds: int = Field(12, ge=1)

    @field_validator("log_level", mode="before")
    @classmethod
    def accept_any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("root_path")
    @classmethod
    def is_a_path(cls, value: str) -> str:
        if not _ROOT_PATH.fullmatch(value):
            raise ValueError(
                "must look like /audit: a / before each segment, none at the end, and only A-Z a-z 0-9 -._~"
            )
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def are_addresses(cls, value: str) -> str:
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
    def times_fit_together(self) -> Self:
        if not self.request_body_timeout < self.request_timeout < self.graceful_shutdown_seconds:
            raise self.broken_rule(
                "REQUEST_BODY_TIMEOUT < REQUEST_TIMEOUT < GRACEFUL_SHUTDOWN_SECONDS",
                "so that a stop cuts nothing that would have been answered",
            )
        if self.place_timeout >= self.request_timeout:
            raise self.broken_rule("PLACE_TIMEOUT < REQUEST_TIMEOUT", "so that a request is told it has no place")
        return self


# In milliseconds, an integer of PostgreSQL.
_Seconds = Annotated[float, Field(ge=0.001, le=2_147_483)]

_URL_FORM = "must look like postgresql://user:password@host:5432/database"
_SSL_MODES = "disable|allow|prefer|require|verify-ca|verify-full"
_URL_PARAMETERS = {
    "host": r".+",
    "port": r"\d{1,5}(,\d{1,5})*",
    "ssl": _SSL_MODES,
    "sslmode": _SSL_MODES,
    "target_session_attrs": "any|primary|standby|prefer-standby|read-only|read-write",
}


def _parts(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _refuse_impossible(hosts: Sequence[str | None], ports: Sequence[int | None]) -> None:
    try:
        for host in hosts:
            # A path is a folder with a socket.
            if host and not host.startswith("/"):
                host.encode("idna")
    except UnicodeError:
        raise ValueError("has a host that cannot be") from None
    if not all(port is None or 1 <= int(port) <= _LAST_PORT for port in ports):
        raise ValueError("has a port that cannot be")


class Pooler(StrEnum):
    """What stands between the service and PostgreSQL."""

    NONE = "none"
    # PgBouncer and the like, in transaction mode: two transactions may come to two connections of PostgreSQL.
    TRANSACTION = "transaction"


class DatabaseSettings(EnvironmentSettings):
    """How the service reaches PostgreSQL. Times are in seconds.

    A caller waits at most `pool_timeout` for a connection; a statement ends in the server after `statement_timeout`,
    waits at most `lock_timeout` for a row, and is given up here after `command_timeout`, should the server not answer
    at all. Each fits into the next, and all of it into the deadline of the request. A stream (an export) has
    connections of its own, where these limits hold for each piece; a transaction that waits for its reader ends after
    `stream_idle_timeout`, when the reader itself has been given up.
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

    database_stream_pool_size: int = Field(2, ge=1)
    database_stream_idle_timeout: _Seconds = 30

    @field_validator("database_url")
    @classmethod
    def can_be_used(cls, value: SecretStr) -> SecretStr:
        try:
            url = make_url(value.get_secret_value().strip())
        except (ArgumentError, ValueError):
            raise ValueError(_URL_FORM) from None
        if url.drivername not in ("postgres", "postgresql", "postgresql+asyncpg"):
            raise ValueError(_URL_FORM)
        url = url.set(drivername="postgresql+asyncpg")
        if unknown := url.query.keys() - _URL_PARAMETERS.keys():
            raise ValueError(f"does not take the parameter {', '.join(sorted(unknown))}")
        for name, form in _URL_PARAMETERS.items():
            if name in url.query and not all(re.fullmatch(form, part) for part in _parts(url.query[name])):
                raise ValueError(f"has a malformed {name}")
        try:
            _, arguments = url.get_dialect()().create_connect_args(url)
        except ArgumentError:
            raise ValueError("has hosts and ports that do not match") from None
        _refuse_impossible(_parts(arguments.get("host")), _parts(arguments.get("port")))
        return SecretStr(url.render_as_string(hide_password=False))

    @model_validator(mode="after")
    def timeouts_fit_together(self) -> Self:
        if not self.database_lock_timeout <= self.database_statement_timeout < self.database_command_timeout:
            raise self.broken_rule(
                "DATABASE_LOCK_TIMEOUT <= DATABASE_STATEMENT_TIMEOUT < DATABASE_COMMAND_TIMEOUT",
                "so that the server gives up before the client does",
            )
        longest = total(self.database_pool_timeout, self.database_connect_timeout, self.database_command_timeout)
        if longest >= total(self.request_timeout):
            raise self.broken_rule(
                "DATABASE_POOL_TIMEOUT + DATABASE_CONNECT_TIMEOUT + DATABASE_COMMAND_TIMEOUT < REQUEST_TIMEOUT",
                "so that a request is told what it has waited for",
            )
        if self.response_write_timeout >= self.database_stream_idle_timeout:
            raise self.broken_rule(
                "RESPONSE_WRITE_TIMEOUT < DATABASE_STREAM_IDLE_TIMEOUT",
                "so that a reader is given up before the transaction that waits for it",
            )
        return self
