"""`python -m benchmarks [NAME…] [--json FILE]`: measure, print the table, exit 1 where a bound is missed."""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from benchmarks import api, drop, loading, memory, small, start, tick
from benchmarks.figure import Figure, Verdict, table
from benchmarks.suite import Bench, Benchmark, lack
from benchmarks.waiting import TooSlow

_MODULES = (start, drop, tick, loading, memory, small, api)
ALL = {module.BENCHMARK.name: module.BENCHMARK for module in _MODULES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named, by default all; the exit status."""
    given = _arguments(arguments)
    with Bench() as bench:
        figures = [figure for name in given.names or ALL for figure in _figures(ALL[name], bench)]
    print(table(figures), flush=True)
    if given.json:
        given.json.write_text(json.dumps([figure.document() for figure in figures], indent=1) + "\n")
    for figure in figures:
        if figure.unmeasured:
            print(f"NOT MEASURED: {figure.name}: {figure.unmeasured}", file=sys.stderr)
    return 1 if any(figure.verdict in (Verdict.MISSED, Verdict.FAILED) for figure in figures) else 0


def _figures(benchmark: Benchmark, bench: Bench) -> list[Figure]:
    missing = lack(benchmark)
    if missing:
        return [Figure(row, "ms", skipped=missing) for row in benchmark.rows]
    bench.say(benchmark.name)
    found: list[Figure] = []
    try:
        found.extend(benchmark.run(bench))
    except (TooSlow, AssertionError) as exc:  # the latter is how a test's daemon tells of what did not happen
        why = str(exc).partition("\n")[0]
        bench.say(f"{benchmark.name} failed: {exc}")
        done = {figure.name for figure in found}
        found += [Figure(row, "ms", failed=why) for row in benchmark.rows if row not in done]
    return found


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast and how small, measured.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; by default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parsed = parser.parse_args(given)
    unknown = [name for name in parsed.names if name not in ALL]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}: choose from {', '.join(ALL)}")
    return parsed


def _prepare() -> None:
    """As the daemon does it: enough descriptors, and little to say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    _prepare()
    sys.exit(main())
