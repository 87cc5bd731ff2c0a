"""Which values of `DATABASE_URL` are accepted: those that SQLAlchemy's dialect of asyncpg can follow."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

_MAX_PORT = 65535
_URL_FORM = "must look like postgresql://user:password@host:5432/database"
_SSL_MODES = "disable|allow|prefer|require|verify-ca|verify-full"
_URL_PARAMETERS = {
    "host": r".+",
    "port": r"\d{1,5}(,\d{1,5})*",
    "ssl": _SSL_MODES,
    "sslmode": _SSL_MODES,
    "target_session_attrs": "any|primary|standby|prefer-standby|read-only|read-write",
}


def normalize(text: str) -> str:
    """The URL with the name of the driver. Raises `ValueError`, whose message has no part of the URL but names."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise ValueError(_URL_FORM) from None
    if url.drivername not in ("postgres", "postgresql", "postgresql+asyncpg"):
        raise ValueError(_URL_FORM)
    url = url.set(drivername="postgresql+asyncpg")
    if unknown := url.query.keys() - _URL_PARAMETERS.keys():
        raise ValueError(f"does not take the parameter {', '.join(sorted(unknown))}")
    for name, form in _URL_PARAMETERS.items():
        if name in url.query and not all(re.fullmatch(form, part) for part in _as_sequence(url.query[name])):
            raise ValueError(f"has a malformed {name}")
    try:
        _, arguments = url.get_dialect()().create_connect_args(url)
    except ArgumentError:
        raise ValueError("has hosts and ports that do not match") from None
    _check_hosts_and_ports(_as_sequence(arguments.get("host")), _as_sequence(arguments.get("port")))
    return url.render_as_string(hide_password=False)


def _as_sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _check_hosts_and_ports(hosts: Sequence[str | None], ports: Sequence[int | None]) -> None:
    try:
        for host in hosts:
            # A path is the folder of a Unix socket.
            if host and not host.startswith("/"):
                host.encode("idna")
    except UnicodeError:
        raise ValueError("has an impossible host") from None
    if not all(port is None or 1 <= int(port) <= _MAX_PORT for port in ports):
        raise ValueError("has an impossible port")
