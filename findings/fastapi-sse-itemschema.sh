#!/usr/bin/env bash
# FastAPI 0.165.0: one route of server-sent events makes the OpenAPI document invalid.
#
# Expected: a document that says "openapi": "3.1.0" is valid OpenAPI 3.1. There a Media Type Object has schema, example,
#   examples, encoding and x- extensions, nothing else (https://spec.openapis.org/oas/v3.1.0#media-type-object).
# Seen: the response of an EventSourceResponse route holds "itemSchema", a field that only OpenAPI 3.2 knows
#   (https://spec.openapis.org/oas/v3.2.0#media-type-object). Validators refuse the document. The same holds for a stream
#   of JSON lines.
# What to do: override app.openapi() and take itemSchema out. app.openapi_version = "3.2.0" makes the document honest,
#   but check your client generators first: some of them refuse 3.2.
#
# Output seen:
#   events: openapi 3.1.0, text/event-stream holds ['itemSchema'], Unevaluated properties are not allowed ('itemSchema' was unexpected)
#   lines: openapi 3.1.0, application/jsonl holds ['itemSchema'], Unevaluated properties are not allowed ('itemSchema' was unexpected)
#   events declared as 3.2.0: valid
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq fastapi==0.165.0 openapi-spec-validator==0.9.0
"$work/venv/bin/python" - <<'PY'
import sys
from collections.abc import AsyncIterable
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

def document(version=None, **route):
    app = FastAPI()
    app.openapi_version = version or app.openapi_version
    @app.get("/stream", **route)
    async def stream() -> AsyncIterable[int]:
        yield 1
    return app.openapi()

def problem(api):
    try:
        validate(api)
    except OpenAPIValidationError as error:
        return error.message
    return "valid"

seen = []
for name, route in (("events", {"response_class": EventSourceResponse}), ("lines", {})):
    api = document(**route)
    [(media, held)] = api["paths"]["/stream"]["get"]["responses"]["200"]["content"].items()
    seen += [api["openapi"], list(held), problem(api)]
    print(f"{name}: openapi {seen[-3]}, {media} holds {seen[-2]}, {seen[-1]}")
seen.append(problem(document("3.2.0", response_class=EventSourceResponse)))
print(f"events declared as 3.2.0: {seen[-1]}")
refused = ["3.1.0", ["itemSchema"], "Unevaluated properties are not allowed ('itemSchema' was unexpected)"]
if seen != [*refused, *refused, "valid"]:
    sys.exit(f"different: itemSchema in 3.1.0, refused, and valid as 3.2.0 were expected, not {seen}")
PY
