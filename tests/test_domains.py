"""A domain is a folder and a few lines elsewhere. Each test names the line that was forgotten."""

import tomllib
from importlib import import_module

import pytest

from src import main, models
from src.config import PROJECT_ROOT

SRC = PROJECT_ROOT / "src"
DOMAINS = sorted(folder.name for folder in SRC.iterdir() if (folder / "__init__.py").exists())
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_router_is_mounted(domain: str) -> None:
    router = import_module(f"src.{domain}.router").router
    assert router in main.ROUTERS, f"src/{domain}/router.py: add its router to ROUTERS in src/main.py"


@pytest.mark.parametrize("domain", [name for name in DOMAINS if (SRC / name / "models.py").exists()])
def test_every_table_is_known_to_alembic(domain: str) -> None:
    imported = import_module(f"src.{domain}.models") in vars(models).values()
    assert imported, f"src/{domain}/models.py: import it in src/models.py, so that Alembic sees its tables"


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_is_under_contract(domain: str) -> None:
    assert domain in CONTRACTS["layers"]["layers"], f"{domain}: add it to the layers in pyproject.toml"
    containers = CONTRACTS["domain-layers"]["containers"]
    assert f"src.{domain}" in containers, f"{domain}: add src.{domain} to the containers in pyproject.toml"


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_has_tests(domain: str) -> None:
    assert list((PROJECT_ROOT / "tests" / domain).glob("test_*.py")), f"{domain}: add tests/{domain}/test_*.py"
