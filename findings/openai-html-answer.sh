#!/usr/bin/env bash
# openai 3.54.0: a 200 that holds a web page is returned as a str, and as a stream it is simply empty. No error.
#
# Expected: responses.create() is typed to return a Response, and every failure is a subclass of openai.OpenAIError. The
#   package has a class for this one: APIResponseValidationError, "Data returned by API invalid for expected schema".
# Seen: when a 200 is not JSON (the sign-in page of a proxy, a base_url without /v1), create() returns the page as a plain
#   str. The failure comes later and elsewhere, as AttributeError on .output_text, outside every `except OpenAIError`.
#   parse() raises AttributeError itself. With stream=True there is no event at all, as if the model had said nothing.
# What to do: check isinstance(answer, Response), and treat a stream without a last event ("response.completed",
#   "response.incomplete" or "response.failed") as a failure. OpenAI(_strict_response_validation=True) raises in
#   create(), but the underscore says that it is not public.
#
# Output seen:
#   create: str, has output_text: False
#   parse: AttributeError: 'str' object has no attribute 'output'
#   create(stream=True): 0 events
#   create, strict: APIResponseValidationError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq openai==3.54.0 httpx2==2.16.2
"$work/venv/bin/python" - <<'PY'
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from openai import OpenAI, OpenAIError

class SignInPage(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        page = b"<html><title>Sign in</title></html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *args): ...

server = ThreadingHTTPServer(("127.0.0.1", 0), SignInPage)
Thread(target=server.serve_forever, daemon=True).start()
options = {"api_key": "none", "base_url": f"http://127.0.0.1:{server.server_port}", "max_retries": 0}
client = OpenAI(**options)
answer = client.responses.create(model="any", input="hello")
print(f"create: {type(answer).__name__}, has output_text: {hasattr(answer, 'output_text')}")
try:
    problem = client.responses.parse(model="any", input="hello")
except Exception as error:
    problem = error
print(f"parse: {type(problem).__name__}: {problem}")
events = list(client.responses.create(model="any", input="hello", stream=True))
print(f"create(stream=True): {len(events)} events")
try:
    answer_if_strict = OpenAI(**options, _strict_response_validation=True).responses.create(model="any", input="hello")
    strict = type(answer_if_strict).__name__
except OpenAIError as error:
    strict = type(error).__name__
print(f"create, strict: {strict}")
if type(answer) is not str or type(problem) is not AttributeError or events or strict != "APIResponseValidationError":
    sys.exit("different: a str, an AttributeError, an empty stream and, if strict, an error were expected")
PY
