#!/usr/bin/env bash
# uvicorn 0.54.0: a clean stop by SIGTERM ends with status 143, but with 0 as soon as there are two workers.
#
# Expected: one status for one outcome, and 0 for a stop that went as planned. A shell reports 128 + 15 for a process that
#   SIGTERM killed; this one caught the signal, answered its requests and ran the application's shutdown.
# Seen: a single process does all that, then restores the old handler and raises the caught signal again, so that it dies of
#   it after all: `make`, steps of CI and `docker run` report a failure. With --workers 2 the same stop gives 0. The
#   documentation of the shutdown (https://www.uvicorn.org/server-behavior/#graceful-process-shutdown) names no status.
# What to do: let the supervisor count 143 as success (systemd does), or start uvicorn.Server(config) in a program of your
#   own whose earlier SIGTERM handler does nothing or exits with 0: uvicorn gives the signal back to that handler.
#
# Output seen:
#   1 worker: status 143, shut down cleanly: yes
#   2 workers: status 0, shut down cleanly: yes
#   1 worker, own handler: status 0, shut down cleanly: yes
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq uvicorn==0.54.0 h11==0.16.0 click==8.5.1
cd "$work"
cat >app.py <<'PY'
async def app(scope, receive, send):
    assert scope["type"] == "lifespan"
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})
PY
cat >own.py <<'PY'
import signal, sys, uvicorn
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
uvicorn.run("app:app", port=0)
PY
different=0
stop() { # name, expected status, ready lines, command
    local name=$1 expected=$2 ready=$3 status=0
    shift 3
    : >log
    "$@" 2>>log &
    for _ in $(seq 200); do
        if [ "$(grep -c 'Application startup complete' log)" -ge "$ready" ] && grep -q 'running on' log; then break; fi
        sleep 0.1
    done
    kill -TERM $!
    wait $! || status=$?
    local clean=no
    if [ "$(grep -c 'Application shutdown complete' log)" = "$ready" ]; then clean=yes; fi
    echo "$name: status $status, shut down cleanly: $clean"
    if [ "$status $clean" != "$expected yes" ]; then different=1; fi
}
stop "1 worker" 143 1 venv/bin/python -m uvicorn app:app --port 0
stop "2 workers" 0 2 venv/bin/python -m uvicorn app:app --port 0 --workers 2
stop "1 worker, own handler" 0 1 venv/bin/python own.py
if [ $different = 1 ]; then echo "different: 143, 0 and 0 after a clean shutdown were expected" >&2; exit 1; fi
