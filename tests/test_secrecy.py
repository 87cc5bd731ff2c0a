"""No answer and no line of the log shows a secret, what people record, SQL or a stack; and nobody forges a line."""

import re

import asyncpg
import httpx2

from src.config import DatabaseSettings
from src.engines import database_url
from tests.application import run_server
from tests.audits.factories import AUDITS, audit_body

PASSWORD = "p4ss-w0rd-7c1e"
KEY = "sk-test-5d2a9b"
RECORDED = "what nobody may see"
NOON = "2026-01-31T12:00:00Z"
FORGED = '\\n{"level":"ERROR","message":"forged"}\n{"level": "ERROR", "message": "forged"}'
INTERNALS = re.compile(r"Traceback|File \"|\.py|sqlalchemy|asyncpg|SELECT |INSERT |UPDATE |audit_revision|relation ")


async def test_whatever_fails_nothing_leaks(
    database_settings: DatabaseSettings, connection: asyncpg.Connection
) -> None:
    url = database_url(database_settings).set(password=PASSWORD).render_as_string(hide_password=False)
    async with run_server(
        url, OPENAI_API_KEY=KEY, OPENAI_BASE_URL="http://127.0.0.1:1/v1", LOG_LEVEL="DEBUG"
    ) as server:
        answers: list[httpx2.Response] = []
        async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:

            async def call_everything() -> None:
                record = audit_body(details={"note": RECORDED}, entity_id=RECORDED)
                answers.extend(
                    [
                        await client.post(AUDITS, json=record, headers={"X-Actor-Id": FORGED.replace("\n", "%0A")}),
                        await client.post(AUDITS, json=record, headers={"User-Agent": FORGED.replace("\n", "\t")}),
                        await client.post(AUDITS, json=record | {"action": RECORDED}),
                        await client.post(f"{AUDITS}/batch", json={"items": [record]}),
                        await client.post(AUDITS, content=f'{{"{RECORDED}'.encode()),
                        await client.get(AUDITS, params={"entity_id": RECORDED, "limit": RECORDED}),
                        await client.get(
                            AUDITS, params={"entity_id": "elsewhere", "details": f'{{"a": "{RECORDED}"}}'}
                        ),
                        await client.get(f"{AUDITS}/export", params={"entity_id": RECORDED}),
                        await client.get(f"/{FORGED.replace(chr(10), '%0A')}", headers={"X-Request-ID": '"}{"forged'}),
                        await client.post("/api/v1/ai/responses", json={"input": RECORDED}),
                        await client.get("/health"),
                    ]
                )

            async def change_everything() -> None:
                url = f"{AUDITS}/{answers[1].json()['id']}"
                answers.append(await client.patch(url, json={"details": {"note": RECORDED}}))
                answers.append(await client.put(url, json=audit_body(occurred_at=NOON, actor_id=RECORDED)))

            await call_everything()
            await change_everything()
            await connection.execute("ALTER TABLE audit_revision RENAME TO nowhere")
            await change_everything()
            await connection.execute("ALTER TABLE audit RENAME TO elsewhere")
            await call_everything()
        assert {answer.status_code for answer in answers} >= {201, 200, 404, 415, 422, 503}
        assert 500 not in {answer.status_code for answer in answers}
        for answer in answers:
            shown = f"{answer.headers}{answer.text}"
            assert PASSWORD not in shown
            assert KEY not in shown
            assert not INTERNALS.search(shown), shown
            assert answer.is_success or RECORDED not in shown
        log = server.log()
    assert {line["message"] for line in log} >= {"request", "unforeseen exception"}
    assert not [line for line in log if line["message"] == "forged"]
    written = "".join(server.lines)
    assert not [secret for secret in (PASSWORD, KEY, RECORDED) if secret in written]
