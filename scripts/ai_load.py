"""`python -m scripts.ai_load --yes`: call the AI endpoint of a running service many times, and report the outcomes.

It is for a service with a real key; the tests have a provider of their own.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count

import httpx2

TARGET_SECONDS = 5
_PROMPT = "In one sentence: what is audit record number {} of a shop likely to be about?"


@dataclass(frozen=True)
class Outcome:
    """One call. `code` is `ok`, or the code of the problem document. `seconds_to_first` is of streams only."""

    code: str
    seconds: float
    seconds_to_first: float | None = None
    tokens: int = 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.ai_load", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the running service (%(default)s)")
    parser.add_argument("--calls", type=positive, default=50, help="how many in all (%(default)s)")
    parser.add_argument("--callers", type=positive, default=5, help="how many at once (%(default)s)")
    parser.add_argument("--stream", action="store_true", help="read the answers as streams")
    parser.add_argument("--yes", action="store_true", help="make the calls, although the provider may charge for them")
    return parser.parse_args()


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


async def ask(client: httpx2.AsyncClient, number: int) -> Outcome:
    started = time.perf_counter()
    answer = await client.post("/api/v1/ai/responses", json=_body(number))
    seconds = time.perf_counter() - started
    if answer.status_code != httpx2.codes.OK:
        return Outcome(_code(answer), seconds)
    return Outcome("ok", seconds, tokens=answer.json()["usage"]["total_tokens"])


async def read_stream(client: httpx2.AsyncClient, number: int) -> Outcome:
    started, seconds_to_first, last = time.perf_counter(), None, ""
    async with client.stream("POST", "/api/v1/ai/responses/stream", json=_body(number)) as answer:
        if answer.status_code != httpx2.codes.OK:
            await answer.aread()
            return Outcome(_code(answer), time.perf_counter() - started)
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                last = line.removeprefix("event: ")
                if last == "delta" and seconds_to_first is None:
                    seconds_to_first = time.perf_counter() - started
    return Outcome("ok" if last == "done" else "broken off", time.perf_counter() - started, seconds_to_first)


def _code(answer: httpx2.Response) -> str:
    """The code of the problem document, or the status: a proxy may answer with another document."""
    try:
        return str(answer.json()["code"])
    except (ValueError, TypeError, KeyError):
        return str(answer.status_code)


def _body(number: int) -> dict[str, object]:
    return {"input": _PROMPT.format(number), "max_output_tokens": 200}


async def run_calls(arguments: argparse.Namespace, outcomes: list[Outcome]) -> None:
    """Make the calls. Each outcome is added to `outcomes` at once, so that an error later does not lose it."""
    numbers = iter(range(arguments.calls))
    done = count(1)

    async def call_repeatedly(client: httpx2.AsyncClient) -> None:
        for number in numbers:
            outcomes.append(await (read_stream if arguments.stream else ask)(client, number))
            print(f"\r{next(done)}/{arguments.calls}", end="", file=sys.stderr, flush=True)

    async with httpx2.AsyncClient(base_url=arguments.url, timeout=90) as client:
        await asyncio.gather(*(call_repeatedly(client) for _ in range(arguments.callers)))


def report(outcomes: list[Outcome]) -> None:
    on_time = sum(outcome.code == "ok" and outcome.seconds < TARGET_SECONDS for outcome in outcomes)
    print(f"answered under {TARGET_SECONDS} s: {on_time} of {len(outcomes)}, {on_time / len(outcomes):.1%}")
    for code, number in Counter(outcome.code for outcome in outcomes).most_common():
        print(f"{code}: {number}")
    print_quantiles("seconds", [outcome.seconds for outcome in outcomes])
    if seconds_to_first := [outcome.seconds_to_first for outcome in outcomes if outcome.seconds_to_first is not None]:
        print_quantiles("seconds to the first piece", seconds_to_first)
    if tokens := sum(outcome.tokens for outcome in outcomes):
        print(f"tokens: {tokens}")


def print_quantiles(name: str, values: list[float]) -> None:
    ordered = sorted(values)
    shown = (f"p{share} {ordered[min(len(ordered) - 1, len(ordered) * share // 100)]:.2f}" for share in (50, 90, 99))
    print(f"{name}: {', '.join(shown)}")


def main() -> None:
    arguments = parse_arguments()
    if not arguments.yes:
        sys.exit(f"ai_load: asks a model {arguments.calls} times, for which its provider may charge; say --yes")
    outcomes: list[Outcome] = []
    try:
        asyncio.run(run_calls(arguments, outcomes))
    except httpx2.TransportError as error:
        sys.exit(f"ai_load: {arguments.url} does not answer: {error}")
    finally:
        if outcomes:
            print(file=sys.stderr)
            report(outcomes)


if __name__ == "__main__":
    main()
