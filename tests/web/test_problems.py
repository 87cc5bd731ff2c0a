"""Every error is a complete problem document, with a request id and CORS headers."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter

from src.config import AppSettings, DatabaseSettings
from src.exceptions import InternalError, NotFound
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit

ORIGIN = {"Origin": "https://app.example"}
SECRET = "what nobody may see"

failing_router = APIRouter()


@failing_router.get("/fail")
async def fail() -> None:
    raise RuntimeError(SECRET)


@failing_router.get("/decline")
async def decline() -> None:
    raise NotFound(SECRET)


@failing_router.get("/lose")
async def lose() -> None:
    raise asyncpg.InternalClientError(SECRET)


@pytest.fixture
async def failing_client(database: DatabaseSettings) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application with routes that fail."""
    async with run_application(database, routers=[failing_router]) as client:
        yield client


def assert_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    problem: dict[str, Any] = response.json()
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "X-Request-ID" in response.headers["Access-Control-Expose-Headers"]
    assert problem["type"] == f"urn:problem-type:{code}"
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == response.request.url.path
    assert problem["request_id"] == response.headers["X-Request-ID"]
    return problem


async def test_the_instance_is_a_uri_reference(client_of_module: httpx2.AsyncClient) -> None:
    for path in ("/caf%C3%A9%20%22", "/a:b@c/(d);e=1&f,g+h!$'*~i", "/%2525"):
        assert (await client_of_module.get(path)).json()["instance"] == path


async def test_documentation_files_ignore_the_range_header(client_of_module: httpx2.AsyncClient) -> None:
    whole = await client_of_module.get("/docs/assets/favicon.png")
    assert (whole.status_code, whole.headers["Accept-Ranges"]) == (200, "none")
    for asked in ("bytes=0-1", "bytes=9999999-", "bytes=junk"):
        answer = await client_of_module.get("/docs/assets/favicon.png", headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, whole.content)


async def test_an_unknown_path_is_404(client_of_module: httpx2.AsyncClient) -> None:
    assert_problem(await client_of_module.get("/no/such/path", headers=ORIGIN), 404, "not-found")
    assert_problem(await client_of_module.get(f"{AUDITS}/", headers=ORIGIN), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", AUDITS, "GET, HEAD, POST"),
        ("POST", f"{AUDITS}/01a202e4-1742-76d7-9e81-3d827693f0c3", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/", "GET, HEAD"),
        ("OPTIONS", "/health", "GET, HEAD"),
        ("POST", "/docs/assets/swagger-ui.css", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_405_and_names_every_allowed_one(
    client_of_module: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client_of_module.request(method, path, headers=ORIGIN)
    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["Allow"] == allowed


async def test_malformed_json_is_400(client_of_module: httpx2.AsyncClient) -> None:
    response = await client_of_module.post(AUDITS, content=b"{", headers=ORIGIN | {"Content-Type": "application/json"})
    assert_problem(response, 400, "malformed-json")


async def test_a_wrong_content_type_is_415(client_of_module: httpx2.AsyncClient) -> None:
    response = await client_of_module.post(AUDITS, content=b"a=b", headers=ORIGIN | {"Content-Type": "text/plain"})
    assert_problem(response, 415, "unsupported-media-type")


async def test_an_invalid_value_is_422_and_not_echoed(client: httpx2.AsyncClient) -> None:
    response = await client.get(AUDITS, params={"limit": SECRET}, headers=ORIGIN)
    problem = assert_problem(response, 422, "validation-error")
    assert problem["errors"][0].keys() == {"loc", "msg", "type"}
    assert SECRET not in response.text


async def test_a_422_lists_at_most_20_errors_and_stays_small(client: httpx2.AsyncClient) -> None:
    response = await client.post(AUDITS, json={f"{number}{'x' * 1000}": 1 for number in range(500)}, headers=ORIGIN)
    problem = assert_problem(response, 422, "validation-error")
    assert len(problem["errors"]) == 20
    assert problem["detail"].startswith("504 values are not valid")
    assert len(response.content) < 10_000


async def test_an_unforeseen_exception_is_500_logged_and_not_shown(
    failing_client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = await failing_client.get("/fail", headers=ORIGIN)
    problem = assert_problem(response, 500, "internal-error")
    assert SECRET not in response.text
    assert problem["title"] == InternalError.title
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info[1].args for record in logged if record.exc_info and record.exc_info[1]] == [(SECRET,)]


async def test_a_database_connection_that_was_just_lost_is_503(failing_client: httpx2.AsyncClient) -> None:
    response = await failing_client.get("/lose", headers=ORIGIN)
    assert_problem(response, 503, "database-unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert SECRET not in response.text


async def test_an_error_of_a_domain_has_its_own_detail(failing_client: httpx2.AsyncClient) -> None:
    problem = assert_problem(await failing_client.get("/decline", headers=ORIGIN), 404, "not-found")
    assert problem["detail"] == SECRET


async def test_a_url_or_headers_that_are_too_long_are_414_and_431(client: httpx2.AsyncClient) -> None:
    settings = AppSettings()
    long = "x" * settings.max_url_bytes
    assert_problem(await client.get(f"{AUDITS}?entity_id={long}", headers=ORIGIN), 414, "uri-too-long")
    huge = {"X-Note": "x" * settings.max_header_bytes}
    assert_problem(await client.get(AUDITS, headers=ORIGIN | huge), 431, "headers-too-large")


@pytest.mark.usefixtures("database_settings")
async def test_a_stored_value_of_an_unexpected_type_is_503_and_is_not_logged(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    record = await create_audit(client, correlation_id="31415926")
    await connection.execute("ALTER TABLE audit ALTER COLUMN correlation_id TYPE integer USING correlation_id::integer")
    for path in (AUDITS, f"{AUDITS}/{record['id']}", f"{AUDITS}/export"):
        response = await client.get(path, headers=ORIGIN)
        assert_problem(response, 503, "database-unavailable")
        assert int(response.headers["Retry-After"]) >= 1
    assert "correlation_id" in caplog.text
    assert "31415926" not in caplog.text + response.text


@pytest.mark.usefixtures("database_settings")
@pytest.mark.parametrize(
    ("permit", "damage"),
    [
        ("DROP CONSTRAINT audit_status_check", "status = '31415926'"),
        ("DROP CONSTRAINT audit_details_object_check", """details = '["31415926"]'"""),
        ("ALTER COLUMN actor_id DROP NOT NULL", "actor_id = NULL"),
        ("DROP CONSTRAINT audit_occurred_at_finite_check", "occurred_at = 'infinity'"),
    ],
)
async def test_a_stored_value_that_breaks_the_contract_is_503_and_is_not_logged(
    client: httpx2.AsyncClient,
    connection: asyncpg.Connection,
    caplog: pytest.LogCaptureFixture,
    permit: str,
    damage: str,
) -> None:
    await create_audit(client)
    record = await create_audit(client)
    await connection.execute(f"ALTER TABLE audit {permit}")
    await connection.execute(f"UPDATE audit SET {damage} WHERE id = $1", record["id"])
    paths = [AUDITS, f"{AUDITS}/{record['id']}", *(f"{AUDITS}/export?format={form}" for form in ("ndjson", "ocsf"))]
    for path in paths:
        response = await client.get(path, headers=ORIGIN)
        assert_problem(response, 503, "database-unavailable")
    assert damage.split()[0] in caplog.text
    assert "31415926" not in caplog.text + response.text


@pytest.mark.usefixtures("database_settings")
@pytest.mark.parametrize(
    "damage", ["hash TYPE text USING 'x'", "hash TYPE integer USING 1", "updated_at TYPE timestamp"]
)
async def test_a_change_of_a_row_with_a_column_of_another_type_is_503(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, damage: str
) -> None:
    record = await create_audit(client)
    await connection.execute(f"ALTER TABLE audit ALTER COLUMN {damage}")
    response = await client.patch(f"{AUDITS}/{record['id']}", json={"status": "failure"}, headers=ORIGIN)
    assert_problem(response, 503, "database-unavailable")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.usefixtures("database_settings")
@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE audit ALTER COLUMN actor_id TYPE varchar(1) USING 'u'",
        "ALTER TABLE audit ADD COLUMN tenant text NOT NULL",
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'maintenance'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION refuse();
        """,
    ],
)
async def test_a_table_that_refuses_what_its_model_accepts_is_503(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, damage: str
) -> None:
    await connection.execute(damage)
    response = await client.post(AUDITS, json=audit_body(), headers=ORIGIN)
    assert_problem(response, 503, "database-unavailable")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.usefixtures("database_settings")
async def test_a_check_violation_is_422_and_logs_the_constraint(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    await connection.execute("ALTER TABLE audit ADD CONSTRAINT no_secrets CHECK (entity_id <> '31415926')")
    response = await client.post(AUDITS, json=audit_body(entity_id="31415926"), headers=ORIGIN)
    assert_problem(response, 422, "validation-error")
    assert "validation-error: CheckViolationError audit no_secrets" in caplog.text
    assert "31415926" not in caplog.text + response.text
