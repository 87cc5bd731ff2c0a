#!/usr/bin/env bash
# orjson 3.13.0: an integer outside 64 bits is read as a float without an error, though writing the same integer is refused.
#
# Expected: either the exact integer, as the standard library reads it, or an error. orjson's README, "int", says that it
#   "serializes and deserializes 64-bit integers" from -9223372036854775807 to 18446744073709551615, and that dumps raises
#   outside that range. It says nothing of loads outside it.
# Seen: loads gives a float. Digits are lost, two different numbers become equal, and the type changes, so an identifier
#   or a hash changes between the parser and the database. RFC 8259, section 6, warns of such numbers but allows it.
# What to do: send such numbers as strings; or refuse integers beyond 64 bits, or use json.loads where digits count.
#
# Output seen:
#   18446744073709551615: json 18446744073709551615, orjson 18446744073709551615
#   18446744073709551617: json 18446744073709551617, orjson 1.8446744073709552e+19
#   -9223372036854775809: json -9223372036854775809, orjson -9.223372036854776e+18
#   18446744073709551616 == 18446744073709551617: json False, orjson True
#   dumps(18446744073709551616): Integer exceeds 64-bit range
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq orjson==3.13.0
"$work/venv/bin/python" - <<'PY'
import json, sys
import orjson

seen = []
for text in (str(2**64 - 1), str(2**64 + 1), str(-(2**63) - 1)):
    seen.append(orjson.loads(text))
    print(f"{text}: json {json.loads(text)}, orjson {seen[-1]}")
pair = f"[{2**64}, {2**64 + 1}]"
(a, b), (c, d) = json.loads(pair), orjson.loads(pair)
print(f"{a} == {b}: json {a == b}, orjson {c == d}")
try:
    problem = orjson.dumps(2**64).decode()
except orjson.JSONEncodeError as error:
    problem = str(error)
print(f"dumps({2**64}): {problem}")
if [type(value) for value in seen] != [int, float, float] or c != d or problem != "Integer exceeds 64-bit range":
    sys.exit("different: floats were expected from loads, and an error from dumps")
PY
