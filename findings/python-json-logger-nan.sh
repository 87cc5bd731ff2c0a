#!/usr/bin/env bash
# python-json-logger 4.2.0: one NaN or infinity among the extras makes a line of the log that is not JSON.
#
# Expected: each line is JSON; that is what the formatter is for. RFC 8259, section 6: "Numeric values that cannot be
#   represented in the grammar below (such as Infinity and NaN) are not permitted."
# Seen: JsonFormatter writes NaN and Infinity as bare words. Readers that follow the RFC, such as orjson or JSON.parse, refuse
#   the whole line, so the event is lost, message and all. Python's json.loads reads it, so a test in Python does not
#   notice. json_default is not asked, since float is a known type.
# What to do: OrjsonFormatter of the same package writes null. Or replace such floats in process_log_record().
#
# Output seen:
#   JsonFormatter: {"message": "ratio", "value": NaN, "limit": Infinity} -> strict JSON: no
#   OrjsonFormatter: {"message":"ratio","value":null,"limit":null} -> strict JSON: yes
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq python-json-logger==4.2.0 orjson==3.13.0
"$work/venv/bin/python" - <<'PY'
import io, logging, sys
import orjson
from pythonjsonlogger.json import JsonFormatter
from pythonjsonlogger.orjson import OrjsonFormatter

seen = []
for formatter in (JsonFormatter("%(message)s", json_default=lambda value: None), OrjsonFormatter("%(message)s")):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("example")
    logger.addHandler(handler)
    logger.info("ratio", extra={"value": float("nan"), "limit": float("inf")})
    line = stream.getvalue().strip()
    try:
        orjson.loads(line)
        seen.append("yes")
    except orjson.JSONDecodeError:
        seen.append("no")
    print(f"{type(formatter).__name__}: {line} -> strict JSON: {seen[-1]}")
if seen != ["no", "yes"]:
    sys.exit("different: JsonFormatter was expected to write a line that is not JSON, OrjsonFormatter one that is")
PY
