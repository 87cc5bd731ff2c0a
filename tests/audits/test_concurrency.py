"""Many requests at once."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import httpx2
import pytest

from src.audits import statements
from src.audits.constants import Operation
from src.audits.revisions import Attribution, seal
from src.config import DatabaseSettings
from tests.application import run_application
from tests.audits.factories import AUDITS, audit_body, create_audit
from tests.outages import wait_until_blocked


async def test_concurrent_patches_of_different_fields_both_take_effect(client: httpx2.AsyncClient) -> None:
    for _ in range(10):
        record = await create_audit(client)
        url = f"{AUDITS}/{record['id']}"
        answers = await asyncio.gather(
            client.patch(url, json={"status": "failure"}), client.patch(url, json={"details": {"a": 1}})
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        stored = (await client.get(url)).json()
        assert (stored["status"], stored["details"], stored["version"]) == ("failure", {"a": 1}, 3)


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
@pytest.mark.parametrize("if_match", [None, '"1"'])
async def test_a_change_by_another_process_after_the_record_was_read_is_not_lost(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, method: str, if_match: str | None
) -> None:
    record = await create_audit(client)
    url = f"{AUDITS}/{record['id']}"
    previous_hash = await connection.fetchval("SELECT hash FROM audit")
    now = datetime.now(UTC)
    changed = record | {"details": {"by": "other"}, "updated_at": now.isoformat().replace("+00:00", "Z"), "version": 2}
    other = seal(changed, Operation.UPDATE, Attribution(), now, previous_hash)
    bodies = {"PATCH": {"status": "failure"}, "PUT": audit_body(occurred_at="2026-01-01T00:00:00Z"), "DELETE": None}
    headers = {"If-Match": if_match} if if_match else {}
    async with connection.transaction():
        await connection.execute("SELECT FROM audit FOR UPDATE")
        change = asyncio.create_task(client.request(method, url, json=bodies[method], headers=headers))
        await wait_until_blocked(connection)
        assert await connection.fetch(statements.UPDATE.sql, *statements.parameters([other]).values())
    answer = await change
    history = (await client.get(f"{url}/history")).json()["items"]
    assert [revision["previous_hash"] for revision in history] == [*(each["hash"] for each in history[1:]), None]
    if if_match:
        assert answer.status_code == 412
        assert [revision["version"] for revision in history] == [2, 1]
    else:
        assert (answer.status_code, answer.json()["version"]) == (200, 3)
        assert [revision["version"] for revision in history] == [3, 2, 1]
        assert (history[0]["record"]["details"] == {"by": "other"}) == (method != "PUT")


async def test_changes_of_one_record_leave_connections_to_all_others(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    """All of them wait for a row that somebody has locked, and only the first of them holds a connection meanwhile.

    On a busy machine the last of them waits for more than the usual second.
    """
    limits = {"database_lock_timeout": 20, "database_statement_timeout": 20, "database_command_timeout": 25}
    async with run_application(database.model_copy(update=limits)) as client:
        url, other = [f"{AUDITS}/{(await create_audit(client))['id']}" for _ in range(2)]
        async with connection.transaction():
            await connection.execute("SELECT FROM audit WHERE id = $1 FOR UPDATE", url.rpartition("/")[2])
            changes = [asyncio.create_task(client.patch(url, json={"status": "failure"})) for _ in range(30)]
            await wait_until_blocked(connection, seconds=15)
            assert (await client.get(other)).status_code == 200
            assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1
        assert {answer.status_code for answer in await asyncio.gather(*changes)} == {200}
        assert (await client.get(url)).json()["version"] == 31


async def test_a_change_that_waits_too_long_for_another_one_is_refused(
    database: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    settings = database.model_copy(update={"database_lock_timeout": 0.3})
    async with run_application(settings) as client:
        url = f"{AUDITS}/{(await create_audit(client))['id']}"
        async with connection.transaction():
            await connection.execute("SELECT FROM audit FOR UPDATE")
            answers = await asyncio.gather(*(client.patch(url, json={"status": "failure"}) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    # One waits for the row, and two for their turn.
    assert {answer.json()["code"] for answer in answers} == {"database-timeout"}
    assert all("Retry-After" in answer.headers for answer in answers)


async def test_a_change_of_a_number_that_no_double_holds_says_what_to_do(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    """Only SQL can write such a number."""
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    await connection.execute("""UPDATE audit SET details = '{"a": 1e400}'""")
    answer = await client.patch(url, json={"status": "failure"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "Change them too" in answer.json()["detail"]
    assert (await client.patch(url, json={"status": "failure", "details": {}})).status_code == 200


@pytest.mark.usefixtures("database_settings")
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_that_a_trigger_of_the_operator_prevents_is_refused(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, method: str
) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    await connection.execute(
        "CREATE FUNCTION prevent() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER prevent BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION prevent()"
    )
    answer = await client.request(method, url, json={"status": "failure"} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert (await client.get(f"{url}/history")).json()["total"] == 1


@pytest.mark.usefixtures("database_settings")
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
@pytest.mark.parametrize("mode", ["atomic", "partial"])
async def test_a_create_that_a_trigger_of_the_operator_prevents_is_refused(
    client: httpx2.AsyncClient, connection: asyncpg.Connection, mode: str, headers: dict[str, str]
) -> None:
    await connection.execute(
        "CREATE FUNCTION prevent() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER prevent BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION prevent();"
        "CREATE TRIGGER prevent BEFORE INSERT ON audit_revision FOR EACH ROW EXECUTE FUNCTION prevent();"
        "CREATE TRIGGER prevent BEFORE INSERT ON audit_idempotency_key FOR EACH ROW EXECUTE FUNCTION prevent()"
    )
    answer = await client.post(
        f"{AUDITS}/batch", json={"items": [audit_body()]}, params={"mode": mode}, headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")


async def test_updated_at_never_decreases_when_the_clock_is_behind(
    client: httpx2.AsyncClient, connection: asyncpg.Connection
) -> None:
    url = f"{AUDITS}/{(await create_audit(client))['id']}"
    await connection.execute("UPDATE audit SET updated_at = '2100-01-01Z'")
    patched = await client.patch(url, json={"status": "failure"})
    assert patched.json()["updated_at"] == "2100-01-01T00:00:00Z"
    assert (await client.delete(url)).json()["deleted_at"] == "2100-01-01T00:00:00Z"


async def test_a_later_version_never_has_an_earlier_updated_at(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)
    url = f"{AUDITS}/{record['id']}"
    answers = await asyncio.gather(*(client.patch(url, json={"status": "failure"}) for _ in range(10)))
    changes = sorted((answer.json()["version"], answer.json()["updated_at"]) for answer in answers)
    assert [version for version, _ in changes] == list(range(2, 12))
    assert [at for _, at in changes] == sorted(at for _, at in changes)


async def test_100_concurrent_reads_and_writes_lose_nothing(client: httpx2.AsyncClient) -> None:
    record = await create_audit(client)

    async def request(number: int) -> httpx2.Response:
        match number % 4:
            case 0:
                return await client.get(AUDITS)
            case 1:
                return await client.get(f"{AUDITS}/{record['id']}")
            case _:
                return await client.post(AUDITS, json=audit_body(entity_id=str(number)))

    answers = await asyncio.gather(*(request(number) for number in range(100)))
    assert {answer.status_code for answer in answers} == {200, 201}
    acknowledged = [answer.headers["Location"] for answer in answers if answer.status_code == 201]
    assert len(acknowledged) == 50
    for location in acknowledged:
        assert (await client.get(location)).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_change_beside_a_concurrent_deletion_answers_200_or_404(
    client: httpx2.AsyncClient, method: str
) -> None:
    for _ in range(10):
        record = await create_audit(client)
        url = f"{AUDITS}/{record['id']}"
        body = {"status": "failure"} if method == "PATCH" else audit_body(occurred_at="2026-01-01T00:00:00Z")
        change, deletion = await asyncio.gather(client.request(method, url, json=body), client.delete(url))
        assert change.status_code in (200, 404)
        assert deletion.status_code == 200
        assert (await client.get(url)).status_code == 404
