"""A missing or invalid variable stops the start with one line, which names it and shows no secret."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from src.ai.config import AISettings
from src.config import PROJECT_ROOT, AppSettings, DatabaseSettings, EnvironmentSettings
from src.engines import database_url
from src.main import create_app
from src.settings import Settings

SECRET = "s3cr3t-pa55"
GOOD_URL = f"postgresql://app:{SECRET}@127.0.0.1:1/app"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "DATABASE_URL"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"DATABASE_URL": f"mysql://app:{SECRET}@host/app"}, "DATABASE_URL"),
        ({"DATABASE_URL": SECRET}, "DATABASE_URL"),
        ({"DATABASE_URL": f"postgresql://app:{SECRET}@host:port/app"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"{GOOD_URL}?nonsense={SECRET}"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"{GOOD_URL}?sslmode=bogus"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"{GOOD_URL}?port=abc"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql:///app?host=a:1&host=b:2&port=5,6,7"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"{GOOD_URL}?target_session_attrs=bogus"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://app@a..b:5432/app"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"postgresql://app@{'x' * 64}/app"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://app@host:70000/app"}, "DATABASE_URL"),
        ({"DATABASE_URL": f"{GOOD_URL}?port=0"}, "DATABASE_URL"),
        ({"DATABASE_URL": GOOD_URL, "DATABASE_IDLE_TIMEOUT": "2147484"}, "DATABASE_IDLE_TIMEOUT"),
        ({"DATABASE_URL": GOOD_URL, "FORWARDED_ALLOW_IPS": "10.0.0.1, 10.0.0.1/8"}, "FORWARDED_ALLOW_IPS"),
        ({"DATABASE_URL": GOOD_URL, "AI_BREAKER_FAILURES": "10000000000000000000"}, "AI_BREAKER_FAILURES"),
        ({"DATABASE_URL": GOOD_URL, "PORT": SECRET}, "PORT"),
        ({"DATABASE_URL": GOOD_URL, "DATABASE_POOL_TIMEOUT": "inf"}, "DATABASE_POOL_TIMEOUT"),
        ({"DATABASE_URL": GOOD_URL, "WORKERS": "0"}, "WORKERS"),
        ({"DATABASE_URL": GOOD_URL, "ENVIRONMENT": "prod"}, "ENVIRONMENT"),
        ({"DATABASE_URL": GOOD_URL, "LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
        ({"DATABASE_URL": GOOD_URL, "LOG_MAX_LINE_BYTES": "0"}, "LOG_MAX_LINE_BYTES"),
        ({"DATABASE_URL": GOOD_URL, "LOG_MAX_LINE_BYTES": "1023"}, "LOG_MAX_LINE_BYTES"),
        ({"DATABASE_URL": GOOD_URL, "ROOT_PATH": "audit/"}, "ROOT_PATH"),
        ({"DATABASE_URL": GOOD_URL, "CORS_ORIGINS": "not an origin"}, "CORS_ORIGINS"),
        ({"DATABASE_URL": GOOD_URL, "FAST_PATHS": "compiled-routes, all"}, "FAST_PATHS"),
        ({"DATABASE_URL": GOOD_URL, "FAST_PATHS": SECRET}, "FAST_PATHS"),
        ({"DATABASE_URL": GOOD_URL, "DATABASE_STATEMENT_TIMEOUT": "60"}, "DATABASE_STATEMENT_TIMEOUT"),
        ({"DATABASE_URL": GOOD_URL, "DATABASE_POOLER": "statement"}, "DATABASE_POOLER"),
        ({"DATABASE_URL": GOOD_URL, "IDEMPOTENCY_KEY_HOURS": "1"}, "IDEMPOTENCY_KEY_HOURS"),
        ({"DATABASE_URL": GOOD_URL, "OPENAI_BASE_URL": SECRET, "OPENAI_API_KEY": SECRET}, "OPENAI_BASE_URL"),
    ],
)
def test_one_line_names_a_missing_or_invalid_variable(
    environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        create_app()
    assert isinstance(stopped.value.code, str)
    assert len(stopped.value.code.splitlines()) == 1
    assert named in stopped.value.code
    assert SECRET not in stopped.value.code


@pytest.mark.parametrize(
    ("environment", "relation"),
    [
        ({"DATABASE_LOCK_TIMEOUT": "1.6"}, "DATABASE_LOCK_TIMEOUT <= DATABASE_STATEMENT_TIMEOUT"),
        ({"DATABASE_STATEMENT_TIMEOUT": "2"}, "DATABASE_STATEMENT_TIMEOUT < DATABASE_COMMAND_TIMEOUT"),
        (
            {"DATABASE_POOL_TIMEOUT": "6"},
            "DATABASE_POOL_TIMEOUT + DATABASE_CONNECT_TIMEOUT + DATABASE_COMMAND_TIMEOUT < ",
        ),
        ({"DATABASE_COMMAND_TIMEOUT": "7.6"}, "DATABASE_COMMAND_TIMEOUT < REQUEST_TIMEOUT"),
        ({"RESPONSE_WRITE_TIMEOUT": "30"}, "RESPONSE_WRITE_TIMEOUT < DATABASE_STREAM_IDLE_TIMEOUT"),
        ({"PLACE_TIMEOUT": "10"}, "PLACE_TIMEOUT < REQUEST_TIMEOUT"),
        ({"REQUEST_BODY_TIMEOUT": "10"}, "REQUEST_BODY_TIMEOUT < REQUEST_TIMEOUT"),
        ({"GRACEFUL_SHUTDOWN_SECONDS": "10"}, "REQUEST_TIMEOUT < GRACEFUL_SHUTDOWN_SECONDS"),
        ({"AI_CONNECT_TIMEOUT": "8.1"}, "AI_CONNECT_TIMEOUT <= AI_DEADLINE"),
        ({"AI_QUERY_DEADLINE": "0.9"}, "AI_CONNECT_TIMEOUT <= AI_QUERY_DEADLINE"),
        ({"AI_SUMMARY_DEADLINE": "0.9"}, "AI_CONNECT_TIMEOUT <= AI_SUMMARY_DEADLINE"),
        ({"AI_STREAM_DEADLINE": "0.9"}, "AI_CONNECT_TIMEOUT <= AI_STREAM_DEADLINE"),
    ],
)
def test_contradictory_timeouts_stop_the_start(
    environment: dict[str, str], relation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DATABASE_URL": GOOD_URL, **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=rf"^configuration: [A-Z_<=+ ]*{re.escape(relation)}") as stopped:
        create_app()
    for name, value in environment.items():
        assert f"{name} is {value}" in str(stopped.value)


def test_timeouts_that_just_do_not_fit_are_refused() -> None:
    """As binary fractions 1.4 + 3.3 + 2.3 is less than 7."""
    times = {"database_pool_timeout": 1.4, "database_connect_timeout": 3.3, "database_command_timeout": 2.3}
    with pytest.raises(ValidationError, match="< REQUEST_TIMEOUT"):
        DatabaseSettings.model_validate({"database_url": GOOD_URL, "request_timeout": 7} | times)


def test_an_invalid_variable_ends_the_process_with_that_line_alone() -> None:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    result = subprocess.run(
        [sys.executable, "-m", "src"],
        cwd=PROJECT_ROOT,
        env=inherited | {"DATABASE_URL": f"mysql://app:{SECRET}@host/app"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("configuration: DATABASE_URL: must look like")
    assert len(result.stderr.splitlines()) == 1
    assert SECRET not in result.stderr


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_the_usual_spellings_of_a_url_are_accepted(scheme: str) -> None:
    settings = DatabaseSettings(database_url=SecretStr(f"{scheme}://u:p%40ss@host:5433/db?sslmode=require"))
    url = database_url(settings)
    assert (url.drivername, url.password, url.host, url.port, url.database) == (
        "postgresql+asyncpg", "p@ss", "host", 5433, "db",
    )  # fmt: skip
    assert url.query == {"ssl": "require"}


def test_a_socket_folder_may_have_any_name() -> None:
    """A label of a host name has at most 63 characters, but the name of a folder may have more."""
    url = f"postgresql://app@/app?host=/tmp/{'x' * 80}"
    assert database_url(DatabaseSettings(database_url=SecretStr(url))).query["host"] == f"/tmp/{'x' * 80}"


def test_an_invalid_model_is_the_only_error_although_other_defaults_depend_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AI_MODEL", " ")
    with pytest.raises(SystemExit) as ended:
        AISettings.load()
    assert re.fullmatch(r"configuration: AI_MODEL: [^;]+ \(\.env\.example lists every variable\)", str(ended.value))


def test_no_setting_shows_its_secret() -> None:
    settings = (DatabaseSettings(database_url=SecretStr(GOOD_URL)), AISettings(openai_api_key=SecretStr(SECRET)))
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("kind", get_type_hints(Settings).values())
def test_env_example_lists_every_variable_with_its_default(
    kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (PROJECT_ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {name.upper() for name in kind.model_fields} <= example.keys()
    monkeypatch.setenv("DATABASE_URL", GOOD_URL)
    defaults = kind()
    for name, value in example.items():
        if value:
            monkeypatch.setenv(name, value)
    assert kind() == defaults


def test_the_readme_describes_every_variable() -> None:
    readme = (PROJECT_ROOT / "README.md").read_text()
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", readme, re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"[A-Z_]+", row)}
    assert described == {name.upper() for kind in get_type_hints(Settings).values() for name in kind.model_fields}


def test_a_dotenv_file_that_is_not_utf_8_stops_the_start_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(b"ENVIRONMENT=\xe9")
    monkeypatch.setitem(AppSettings.model_config, "env_file", tmp_path / ".env")
    with pytest.raises(SystemExit, match=r"^configuration: \.env must be UTF-8$"):
        AppSettings.load()


def test_the_dotenv_file_is_found_relative_to_the_project() -> None:
    assert EnvironmentSettings.model_config["env_file"] == PROJECT_ROOT / ".env"
    assert (PROJECT_ROOT / "pyproject.toml").exists()


def test_aggregates_take_no_longer_than_a_statement() -> None:
    """And whoever has short statements need not set both."""
    url = SecretStr("postgresql://app@127.0.0.1/app")
    hasty = DatabaseSettings(database_url=url, database_statement_timeout=0.3, database_lock_timeout=0.3)
    assert hasty.aggregate_seconds == 0.3
    assert DatabaseSettings(database_url=url).aggregate_seconds == 0.4
