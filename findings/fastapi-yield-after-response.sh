#!/usr/bin/env bash
# FastAPI 0.165.0: a commit that fails after `yield` still answers 201.
#
# Expected: if the code after `yield` in a dependency raises, the client gets a 500. RFC 9110, section 15.3.2: 201 says that
#   the request "has been fulfilled and has resulted in one or more new resources being created".
# Seen: with the default scope, "request", that code runs after the response was sent, as the documentation says
#   (https://fastapi.tiangolo.com/tutorial/dependencies/dependencies-with-yield/). Many examples commit there. The client
#   is told "saved", then the commit fails, and only the server's log knows.
# What to do: Depends(transaction, scope="function") runs the same code before the response is sent, so the failure
#   becomes a 500. Or commit inside the path operation.
#
# Output seen:
#   scope=default: 201 {"saved":true}
#   scope=request: 201 {"saved":true}
#   scope=function: 500 Internal Server Error
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq fastapi==0.165.0 starlette==1.10.0 httpx2==2.16.2
"$work/venv/bin/python" - <<'PY'
import sys
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

async def transaction():
    yield
    raise RuntimeError("the commit fails")

app = FastAPI()

@app.post("/request", status_code=201, dependencies=[Depends(transaction, scope="request")])
@app.post("/function", status_code=201, dependencies=[Depends(transaction, scope="function")])
async def create():
    return {"saved": True}

@app.post("/default", status_code=201, dependencies=[Depends(transaction)])
async def create_with_the_default_scope():
    return {"saved": True}

client = TestClient(app, raise_server_exceptions=False)
seen = {}
for scope in ("default", "request", "function"):
    response = client.post(f"/{scope}")
    seen[scope] = response.status_code
    print(f"scope={scope}: {response.status_code} {response.text}")
if seen != {"default": 201, "request": 201, "function": 500}:
    sys.exit(f"different: 201, 201 and 500 were expected, not {seen}")
PY
