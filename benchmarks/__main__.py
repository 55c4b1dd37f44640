"""`python -m benchmarks [NAME…] [--json FILE]`: measure, print the table, exit 1 where a bound is missed."""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from benchmarks import drop, loading, memory, small, start, tick
from benchmarks.figure import Figure, Verdict, table
from benchmarks.suite import Bench, Benchmark, lack

_MODULES = (start, drop, tick, loading, memory, small)
ALL = {module.BENCHMARK.name: module.BENCHMARK for module in _MODULES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named, by default all; the exit status."""
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Bench() as bench:
        figures = [figure for name in given.names or ALL for figure in _figures(ALL[name], bench)]
    print(table(figures))
    if given.json:
        given.json.write_text(json.dumps([figure.document() for figure in figures], indent=1) + "\n")
    for figure in figures:
        if figure.skipped:
            print(f"NOT MEASURED: {figure.name}: {figure.skipped}", file=sys.stderr)
    return 1 if any(figure.verdict is Verdict.MISSED for figure in figures) else 0


def _figures(benchmark: Benchmark, bench: Bench) -> list[Figure]:
    missing = lack(benchmark)
    if missing:
        return [Figure(row, "ms", skipped=missing) for row in benchmark.rows]
    bench.say(benchmark.name)
    return list(benchmark.run(bench))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast and how small, measured.")
    parser.add_argument("names", nargs="*", choices=[*ALL, []], metavar="NAME", help=f"of {', '.join(ALL)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
