"""A figure, what it is held against, and the table of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

DECIMALS: Final = {"ms": 1, "s": 2, "MB": 1, "/s": 2}
_HEAD: Final = ("work", "measured", "p90", "baseline of the same run", "ratio", "must reach", "verdict")


class Verdict(StrEnum):
    """What becomes of a figure."""

    REACHED = "reached"
    MISSED = "MISSED"
    UNBOUND = ""
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the same work costs without us, in the figure's unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must stay below, or, with `at_least`, reach. `rule` says where the value comes from."""

    value: float
    rule: str = ""
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: a median of samples in `unit` (a key of DECIMALS), with their p90 where there are enough of them.

    Nothing was measured where `skipped` says what this machine lacks, or `failed` what went wrong.
    """

    name: str
    unit: str
    measured: float = math.nan
    p90: float | None = None
    baseline: Baseline | None = None
    bound: Bound | None = None
    skipped: str = ""
    failed: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        unit: str,
        samples: Sequence[float],
        baseline: Baseline | None = None,
        bound: Bound | None = None,
    ) -> Figure:
        """The figure of these samples."""
        return cls(name, unit, p50(samples), p90(samples) if len(samples) >= 10 else None, baseline, bound)

    @property
    def unmeasured(self) -> str:
        """Why nothing was measured, or the empty string."""
        return self.failed or self.skipped

    @property
    def ratio(self) -> float | None:
        """measured / baseline."""
        return self.measured / self.baseline.value if self.baseline is not None and self.baseline.value else None

    @property
    def verdict(self) -> Verdict:
        """Whether the bound is kept."""
        if self.unmeasured:
            return Verdict.FAILED if self.failed else Verdict.SKIPPED
        if self.bound is None:
            return Verdict.UNBOUND
        value = self.bound.value
        kept = self.measured >= value if self.bound.at_least else self.measured < value
        return Verdict.REACHED if kept else Verdict.MISSED

    def document(self) -> dict[str, Any]:
        """As JSON takes it."""
        found = asdict(self) | {"ratio": self.ratio, "verdict": str(self.verdict)}
        return found | {"measured": None, "ratio": None} if self.unmeasured else found


def p50(samples: Sequence[float]) -> float:
    """The median."""
    return statistics.median(samples)


def p90(samples: Sequence[float]) -> float:
    """By nearest rank."""
    return sorted(samples)[math.ceil(0.9 * len(samples)) - 1]


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, its columns aligned for a terminal too."""
    rows = [_HEAD, *map(_cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in (lines[0], rule, *lines[1:]))


def _cells(figure: Figure) -> tuple[str, ...]:
    def written(value: float | None) -> str:
        if value is None:
            return ""
        decimals = DECIMALS[figure.unit] if value >= 1 else 2
        return f"{value:,.{decimals}f} {figure.unit}".replace(" /s", "/s")

    if figure.unmeasured:
        return figure.name, "", "", "", "", "", f"{figure.verdict}: {figure.unmeasured}"
    baseline = "" if figure.baseline is None else f"{written(figure.baseline.value)} ({figure.baseline.name})"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    return (
        figure.name,
        written(figure.measured),
        written(figure.p90),
        baseline,
        ratio,
        "" if figure.bound is None else _bound(figure.bound, written(figure.bound.value)),
        str(figure.verdict),
    )


def _bound(bound: Bound, value: str) -> str:
    return f"{'≥' if bound.at_least else '<'} {value}" + (f" ({bound.rule})" if bound.rule else "")
