"""CPU of one request: of the service (with its fast path and without), the baseline, an earlier build and Fastify."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from src.config import FastPath
from tests.benchmarks.measures import (
    LIVE,
    RECORD,
    Call,
    calls,
    cpu,
    in_turns,
)
from tests.benchmarks.report import Figure
from tests.benchmarks.servers import AUDITS, Server

logger = logging.getLogger(__name__)

_UNKNOWN = f"{AUDITS}/01a20327-4455-7040-bbfd-742c4f9b48f3"


@dataclass(frozen=True)
class Compared:
    """A call, and at most how many times the CPU of each of the others it may take."""

    call: Call
    baseline: float | None = None
    earlier: float | None = None
    fastify: float | None = None


def measure(servers: Mapping[str, Server]) -> list[Figure]:
    """`servers` by name: `service`, `baseline` and, where they are there, the others of `_NAMES`.

    `resetting` is the baseline with asyncpg's pool as it comes; the targets are of the other.
    """
    read, page, create = calls(servers["service"])
    everybody = [
        Compared(LIVE, baseline=2.2, earlier=0.28),
        Compared(read, baseline=1.6, earlier=0.33),
        Compared(page, baseline=1.6, earlier=0.42, fastify=0.8),
        Compared(create, baseline=2.0, earlier=0.40),
    ]
    figures = [figure for compared in everybody for figure in _figures(compared, servers, list(servers))]
    # The others know neither.
    ours = [name for name in ("service", "plain", "earlier") if name in servers]
    return figures + [figure for compared in _only_ours(read) for figure in _figures(compared, servers, ours)]


def of_part(part: FastPath, service: Server, without: Server) -> list[Figure]:
    """What one part of the fast path gives, as the CPU with it and without it."""
    figures = []
    for call in (LIVE, *calls(service)):
        logger.info("cost of %s without %s", call.name, part)
        (ours, _), (theirs, _) = in_turns([partial(cpu, server, call) for server in (service, without)])
        figures.append(Figure(f"{call.name}: CPU, beside itself without {part}", "us", ours, theirs))
    return figures


def _only_ours(read: Call) -> list[Compared]:
    patch, invalid = json.dumps({"status": "failure"}), json.dumps(RECORD | {"status": "none"})
    return [
        Compared(Call("PATCH with If-Match", read.paths, patch, "PATCH", if_match="*"), earlier=0.45),
        Compared(Call("404", [_UNKNOWN], refused=True), earlier=1),
        Compared(Call("412", read.paths, patch, "PATCH", if_match='"1000000"', refused=True), earlier=1),
        Compared(Call("422 of a body", [AUDITS], invalid, refused=True), earlier=1),
    ]


def _figures(compared: Compared, servers: Mapping[str, Server], names: Sequence[str]) -> list[Figure]:
    call = compared.call
    logger.info("cost of %s", call.name)
    measured = in_turns([partial(cpu, servers[name], call) for name in names])
    (ours, rate), *others = measured
    return [
        Figure(f"{call.name}: CPU", "us", ours),
        Figure(f"{call.name}: throughput", "1/s", rate),
        *(
            Figure(f"{call.name}: CPU, beside {_NAMES[name]}", "us", ours, theirs, getattr(compared, name, None))
            for name, (theirs, _) in zip(names[1:], others, strict=True)
        ),
    ]


_NAMES = {
    "baseline": "the bare baseline",
    "resetting": "a baseline whose pool resets",
    "plain": "itself without its fast path",
    "earlier": "the earlier build",
    "fastify": "Fastify",
}
