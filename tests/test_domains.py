"""The rules for domains: their files, and the lines that register them. Each failure names file, rule and fix."""

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from inspect import getmembers, isfunction, signature
from itertools import chain
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from sqlalchemy import CheckConstraint, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from src import main, models
from src.config import PROJECT_ROOT
from src.database import AutocommitConnection, TransactionConnection
from src.driver_transaction import DriverTransaction
from src.models import metadata

SRC, TESTS = PROJECT_ROOT / "src", PROJECT_ROOT / "tests"
# This package is no domain: it has the code for HTTP that all domains use.
WEB = "web"
DOMAINS = sorted(folder.name for folder in SRC.iterdir() if (folder / "__init__.py").exists() and folder.name != WEB)
FILES = [str(path.relative_to(PROJECT_ROOT)) for name in DOMAINS for path in sorted((SRC / name).rglob("*.py"))]
ABOVE_SERVICES = ("dependencies.py", "router.py")
MODULES = ("constants.py", "dependencies.py", "exceptions.py", "router.py", "schemas.py", "service.py")
LAYERS = next(
    contract["layers"]
    for contract in tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["id"] == "layers"
)
# Folders of tests that belong to no domain.
OTHER_TESTS = {"benchmarks", "chaos", "peers", "scripts", WEB}

# Methods of SQLAlchemy and asyncpg that begin or end a transaction, the same as SQL, and functions that open one.
TRANSACTION_METHODS = {"begin", "begin_nested", "begin_twophase", "transaction"}
TRANSACTION_SQL = re.compile(r"\s*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT)\b", re.IGNORECASE)
SQL_FUNCTIONS = {"text", "exec_driver_sql"}
TRANSACTION_WORDS = {"BEGIN", "COMMIT", "ROLLBACK"}
TRANSACTION_OPENERS = {"transaction", "driver_transaction", "create_async_engine"}
# Methods that run a statement, of every connection that a request can have.
STATEMENT_METHODS = {
    name
    for connection in (AsyncConnection, AutocommitConnection, TransactionConnection, DriverTransaction)
    for name, method in getmembers(connection, isfunction)
    if "statement" in signature(method).parameters
}
# Imports that make SQL: all of SQLAlchemy but the types of connections and engines, the tables, and `Statement`.
SQL_IMPORT = re.compile(
    r"(sqlalchemy|asyncpg)\b.*(?<!\.AsyncConnection)(?<!\.AsyncEngine)|src\..*\bmodels\b.*|src\.statement\.\w+"
)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_has_its_modules(domain: str) -> None:
    missing = [name for name in MODULES if not (SRC / domain / name).exists()]
    assert not missing, f"src/{domain}: every domain has the modules of src/audits; write {', '.join(missing)}"


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_router_is_mounted(domain: str) -> None:
    module = vars(import_module(f"src.{domain}.router"))
    routers = {"router"} | {name for name, value in module.items() if isinstance(value, APIRouter)}
    unserved = [name for name in sorted(routers) if module.get(name) not in main.ROUTERS]
    assert not unserved, (
        f"src/{domain}/router.py: the endpoints of {', '.join(unserved)} are not served; "
        "add it to ROUTERS in src/main.py"
    )


def lax_values(schema: Any, where: str) -> Iterator[str]:
    """The places in a core schema of Pydantic where it would accept a string as a number or a boolean."""
    match schema:
        case {"type": "int" | "float" | "bool"} if not schema.get("strict"):
            yield where
        case {"type": "model-field"}:
            yield from lax_values(schema["schema"], where)
        case {"type": "model", "cls": model}:
            for name, field in schema["schema"]["fields"].items():
                yield from lax_values(field, f"{model.__name__}.{name}")
        case dict():
            yield from chain.from_iterable(lax_values(value, where) for value in schema.values())
        case list():
            yield from chain.from_iterable(lax_values(value, where) for value in schema)


def test_bodies_do_not_accept_strings_as_numbers_or_booleans() -> None:
    fields = {route.body_field for router in main.ROUTERS for route in router.routes if isinstance(route, APIRoute)}
    bodies = [field.field_info.annotation for field in fields if field]
    schemas = [TypeAdapter(body).core_schema for body in bodies if body]
    assert schemas
    lax = ", ".join(sorted(set(chain.from_iterable(lax_values(schema, "") for schema in schemas))))
    assert not lax, f'{lax}: also takes a string such as "1", which the OpenAPI document rules out; Field(strict=True)'


@pytest.mark.parametrize("domain", [name for name in DOMAINS if (SRC / name / "models.py").exists()])
def test_every_table_is_known_to_alembic(domain: str) -> None:
    module = import_module(f"src.{domain}.models")
    assert module in vars(models).values(), (
        f"src/{domain}/models.py: Alembic does not see its tables; import it in src/models.py"
    )
    # A mapped class has a table too.
    tables = [getattr(value, "__table__", value) for value in vars(module).values()]
    unseen = [table.name for table in tables if isinstance(table, Table) and table.metadata is not metadata]
    assert not unseen, (
        f"src/{domain}/models.py: Alembic does not see {', '.join(unseen)}; give it the metadata of src/database.py"
    )


@pytest.mark.parametrize("path", [path for path in FILES if not path.endswith("/models.py")])
def test_every_table_is_declared_in_models(path: str) -> None:
    for node in ast.walk(ast.parse((PROJECT_ROOT / path).read_text())):
        match node:
            case ast.Call(func=ast.Name(id="Table") | ast.Attribute(attr="Table")):
                pytest.fail(f"{path}:{node.lineno}: Alembic does not see this table; move it to the domain's models.py")


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_is_under_contract(domain: str) -> None:
    assert domain in LAYERS, (
        f'src/{domain}: nothing says whom it may import; add the line "{domain}" to the layers in pyproject.toml'
    )


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_domain_has_tests(domain: str) -> None:
    assert list((TESTS / domain).glob("test_*.py")), f"src/{domain}: has no tests; write tests/{domain}/test_*.py"


def ends_of_transactions(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Attribute(attr="commit" | "rollback" as name):
                yield node.lineno, f".{name}()"
            case ast.Call(func=ast.Attribute(attr=name)) if name in TRANSACTION_METHODS:
                yield node.lineno, f".{name}()"
            case ast.ImportFrom(module="src.database" | "sqlalchemy.ext.asyncio", names=names) if (
                TRANSACTION_OPENERS & {name.name for name in names}
            ):
                yield node.lineno, ast.unparse(node)
            case ast.Constant(value=str(sql)) if sql.strip(" ;") in TRANSACTION_WORDS:
                yield node.lineno, sql
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(sql)), *_]
            ) if name in SQL_FUNCTIONS and TRANSACTION_SQL.match(sql):
                yield node.lineno, sql


@pytest.mark.parametrize("path", FILES)
def test_no_domain_begins_or_ends_a_transaction(path: str) -> None:
    ends = sorted(set(ends_of_transactions(PROJECT_ROOT / path)))
    found = "\n".join(f"{path}:{line}: {what}" for line, what in ends)
    assert not found, (
        f"{found}\nno domain begins or ends a transaction; the router takes a AutocommitDep, or a TransactionDep, of "
        "which returning commits and raising rolls back"
    )


def sql_in(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                module = getattr(node, "module", "")
                if any(SQL_IMPORT.fullmatch(f"{module}.{name.name}".lstrip(".")) for name in names):
                    yield node.lineno, ast.unparse(node)
            case ast.Attribute(value=owner, attr=name) if name in STATEMENT_METHODS:
                if not ast.unparse(owner).endswith("service"):
                    yield node.lineno, f".{name}()"


@pytest.mark.parametrize(
    "path",
    [f"src/{name}/{module}" for name in DOMAINS for module in ABOVE_SERVICES if (SRC / name / module).exists()],
)
def test_all_sql_is_in_services(path: str) -> None:
    found = "\n".join(f"{path}:{line}: {what}" for line, what in sql_in(PROJECT_ROOT / path))
    assert not found, (
        f"{found}\nrouters and dependencies hold no SQL, of which dependencies may name the type of a connection; move "
        "the statement into a function of the domain's service.py, and call that"
    )


# These find the rest of a domain that was removed.


def test_every_test_folder_belongs_to_a_domain() -> None:
    for folder in TESTS.iterdir():
        if list(folder.glob("test_*.py")):
            assert folder.name in (OTHER_TESTS | set(DOMAINS)), (
                f"tests/{folder.name}: there is no src/{folder.name}; delete the folder"
            )


def test_every_layer_has_a_module() -> None:
    for name in " | ".join(LAYERS).split(" | "):
        assert (SRC / name).exists() or (SRC / f"{name}.py").exists(), (
            f"pyproject.toml: there is no src/{name}; take {name} out of the layers"
        )


async def test_every_table_has_a_model(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    orphans = {row["tablename"] for row in rows} - metadata.tables.keys() - {"alembic_version"}
    assert not orphans, (
        f"alembic/versions: {', '.join(sorted(orphans))} is created, and no src/*/models.py declares it; take it away "
        "in a new revision by drop_or_keep_table, or delete the one that creates it if no database has seen it"
    )


async def test_every_check_constraint_is_in_a_migration(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT conname, conrelid::regclass::text FROM pg_constraint WHERE contype = 'c'")
    migrated = {row["conname"] for row in rows if row["conrelid"] in metadata.tables}
    declared = {
        str(check.name)
        for table in metadata.tables.values()
        for check in table.constraints
        if isinstance(check, CheckConstraint)
    }
    missing, orphans = ", ".join(sorted(declared - migrated)), ", ".join(sorted(migrated - declared))
    assert not missing, (
        f"src/*/models.py: {missing} is in no migration, and make migration does not see it; write it into the new "
        "revision: op.create_check_constraint, and op.drop_constraint in its downgrade"
    )
    assert not orphans, (
        f"alembic/versions: {orphans} is created, and no src/*/models.py declares it; declare it, or take it away in a "
        "new revision by op.drop_constraint"
    )
