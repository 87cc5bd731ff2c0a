"""What was measured as one table, beside what is aimed at and what the last run has stored."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_HEADER = ("", "unit", "reference", "service", "ratio", "target", "met", "last time")


@dataclass(frozen=True)
class Figure:
    """A figure of the service, and of what it is compared with where there is such a thing.

    A target is a bound on the ratio of the two or, without a reference, on the figure itself.
    """

    name: str
    unit: str
    service: float
    reference: float | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def judged(self) -> float:
        return self.service if self.reference is None else self.service / self.reference

    @property
    def met(self) -> bool | None:
        if self.at_most is not None:
            return self.judged <= self.at_most
        return None if self.at_least is None else self.judged >= self.at_least

    @property
    def target(self) -> str:
        if self.met is None:
            return ""
        bound = f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"
        return bound if self.reference is None else f"{bound} x"


def table(figures: Sequence[Figure], last: dict[str, float]) -> str:
    lines = [_HEADER, *(_line(figure, last.get(figure.name)) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    rows.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(rows)


def _line(figure: Figure, last: float | None) -> tuple[str, ...]:
    return (
        figure.name,
        figure.unit,
        "" if figure.reference is None else _number(figure.reference),
        _number(figure.service),
        "" if figure.reference is None else f"{figure.judged:.2f}",
        figure.target,
        {True: "yes", False: "NO", None: ""}[figure.met],
        "" if last is None else f"{_number(last)} ({(figure.judged / last - 1) * 100:+.0f}%)" if last else "0",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def summary(figures: Sequence[Figure]) -> str:
    """Which targets are met, in words."""
    missed = [figure.name for figure in figures if figure.met is False]
    of = sum(figure.met is not None for figure in figures)
    return f"{of - len(missed)} of {of} targets met" + (f"; missed: {'; '.join(missed)}" if missed else "")


def machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform(terse=True)}


def store(path: Path, figures: Sequence[Figure], facts: dict[str, Any]) -> None:
    measured = [asdict(figure) | {"judged": figure.judged, "met": figure.met} for figure in figures]
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(facts | {"figures": measured}, indent=2) + "\n")
    unfinished.replace(path)


def load_last(path: Path) -> dict[str, float]:
    """What was judged of each figure in the last run; nothing before the first."""
    if not path.exists():
        return {}
    return {figure["name"]: figure["judged"] for figure in json.loads(path.read_text())["figures"]}
