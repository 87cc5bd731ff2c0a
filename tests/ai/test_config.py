"""The settings of the AI domain, read from the environment."""

import json

import pytest

from src.ai.config import AISettings
from tests import programs


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AISettings.model_config, "env_file", None)
    for name in AISettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_defaults_are_valid_without_any_variable() -> None:
    settings = AISettings.load()
    assert settings.openai_api_key is None
    assert str(settings.openai_base_url) == "https://api.openai.com/v1"
    assert (settings.ai_model, settings.ai_allowed_models) == ("gpt-5.4-mini", ("gpt-5.4-mini",))
    assert (settings.ai_deadline, settings.ai_connect_timeout, settings.ai_read_timeout) == (8, 1, 10)
    assert (settings.ai_query_deadline, settings.ai_summary_deadline, settings.ai_stream_deadline) == (40, 90, 60)
    assert settings.ai_max_attempts == 2


TIMES = [
    "ai_deadline",
    "ai_query_deadline",
    "ai_summary_deadline",
    "ai_stream_deadline",
    "ai_read_timeout",
    "ai_place_timeout",
    "ai_breaker_window",
]


def test_the_local_profile_alone_lengthens_all_times(monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = AISettings.load()
    monkeypatch.setenv("AI_PROFILE", "local")
    local = AISettings.load()
    assert all(getattr(local, name) > getattr(hosted, name) for name in TIMES)
    changed = {name for name in AISettings.model_fields if getattr(local, name) != getattr(hosted, name)}
    assert changed == {"ai_profile", *TIMES}


@pytest.mark.parametrize("name", TIMES)
def test_a_variable_wins_over_the_profile(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AI_PROFILE", "local")
    monkeypatch.setenv(name.upper(), "7.5")
    assert getattr(AISettings.load(), name) == 7.5


@pytest.mark.parametrize("deadline", TIMES[:4])
def test_one_deadline_can_be_raised_alone(monkeypatch: pytest.MonkeyPatch, deadline: str) -> None:
    monkeypatch.setenv(deadline.upper(), "3600")
    assert getattr(AISettings.load(), deadline) == 3600


def test_an_invalid_profile_is_the_only_error_although_times_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PROFILE", "slow")
    with pytest.raises(SystemExit, match=r"^configuration: AI_PROFILE: [^;]+$"):
        AISettings.load()


@pytest.mark.parametrize("value", ["a,b", " a , b, ", '["a", "b"]'])
def test_allowed_models_are_separated_by_commas_or_a_json_list(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AI_MODEL", "b")
    monkeypatch.setenv("AI_ALLOWED_MODELS", value)
    assert AISettings.load().ai_allowed_models == ("a", "b")


def test_only_the_default_model_is_allowed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_MODEL", "my-model")
    assert AISettings.load().ai_allowed_models == ("my-model",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AI_ALLOWED_MODELS", "some-other"),
        ("AI_ALLOWED_MODELS", "[secret"),
        ("AI_MODEL", " "),
        ("OPENAI_BASE_URL", "ftp://secret.example"),
        ("OPENAI_BASE_URL", "secret"),
        ("AI_DEADLINE", "0"),
        ("AI_DEADLINE", "secret"),
        ("AI_DEADLINE", "0.5"),
        ("AI_READ_TIMEOUT", "0"),
        ("AI_CONNECT_TIMEOUT", "inf"),
        ("AI_MAX_ATTEMPTS", "0"),
    ],
)
def test_an_invalid_setting_is_reported_by_its_name_and_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with pytest.raises(SystemExit) as caught:
        AISettings.load()
    assert name in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_process_without_a_key_does_not_import_the_sdk() -> None:
    started = json.loads((await programs.run("tests.imported")).stdout)
    assert "src.ai.router" in started["modules"]
    assert "openai" not in started["modules"]
