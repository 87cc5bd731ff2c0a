#!/usr/bin/env bash
# httpx2 2.16.2: iter_lines() cuts a line of JSON where a string holds U+2028, U+2029 or U+0085.
#
# Expected: each line of newline-delimited JSON comes whole. RFC 8259, section 7, lets these characters stand in a string
#   as they are, and JSON Lines (https://jsonlines.org) ends a line at \n only.
# Seen: iter_lines() and aiter_lines() end a line wherever str.splitlines() does, at eight characters besides \r and \n.
#   json.loads then fails for a record that holds text from a web page or a phone, and works for all others.
# What to do: join what iter_bytes() gives and cut it at b"\n". A server that you own can send ASCII only ("\u2028").
#
# Output seen:
#   U+2028: 1 line sent, iter_lines gives 2: JSONDecodeError
#   U+2029: 1 line sent, iter_lines gives 2: JSONDecodeError
#   U+0085: 1 line sent, iter_lines gives 2: JSONDecodeError
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq httpx2==2.16.2
"$work/venv/bin/python" - <<'PY'
import json, sys
import httpx2

for character in "\u2028\u2029\u0085":
    record = {"text": f"one{character}two"}
    body = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, content=body))
    with httpx2.Client(transport=transport) as client, client.stream("GET", "http://example.com/") as response:
        lines = list(response.iter_lines())
    try:
        problem = "none" if json.loads(lines[0]) == record else "another record"
    except json.JSONDecodeError as error:
        problem = type(error).__name__
    print(f"U+{ord(character):04X}: {body.count(10)} line sent, iter_lines gives {len(lines)}: {problem}")
    if json.loads(body.split(b"\n")[0]) != record or len(lines) != 2 or problem != "JSONDecodeError":
        sys.exit("different: two broken lines were expected from iter_lines, and the whole record from split")
PY
