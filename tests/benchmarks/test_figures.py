"""What becomes of a figure: its verdict, its row, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.figure import Baseline, Bound, Figure, Verdict, p90, table
from benchmarks.suite import Bench, Benchmark
from benchmarks.waiting import TooSlow, until


def figure(measured: float, bound: Bound | None = None) -> Figure:
    return Figure("work", "ms", measured, None, Baseline("the kernel", 10.0), bound)


def test_a_bound_is_an_upper_one_unless_it_says_otherwise() -> None:
    assert figure(49.9, Bound(50.0)).verdict is Verdict.REACHED
    assert figure(50.0, Bound(50.0)).verdict is Verdict.MISSED
    assert figure(50.0, Bound(50.0, at_least=True)).verdict is Verdict.REACHED
    assert figure(49.9, Bound(50.0, at_least=True)).verdict is Verdict.MISSED
    assert figure(49.9).verdict is Verdict.UNBOUND


def test_a_figure_is_the_median_of_its_samples_with_p90_where_they_are_enough() -> None:
    few, many = Figure.of("work", "ms", [3.0, 1.0, 2.0]), Figure.of("work", "ms", [float(n) for n in range(1, 21)])
    assert (few.measured, few.p90) == (2.0, None)
    assert (many.measured, many.p90) == (10.5, 18.0)
    assert p90([1.0]) == 1.0


def test_the_table_is_markdown_with_the_ratio_beside_the_baseline() -> None:
    lines = table([figure(25.0, Bound(50.0, "five times the kernel"))]).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "work",
        "25.0 ms",
        "",
        "10.0 ms (the kernel)",
        "2.50",
        "< 50.0 ms (five times the kernel)",
        "reached",
    ]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(("measured", "status"), [(49.0, 0), (51.0, 1)])
def test_a_missed_bound_is_the_exit_status(
    measured: float, status: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(_: Bench) -> Iterator[Figure]:
        yield figure(measured, Bound(50.0))

    monkeypatch.setattr(command, "ALL", {"one": Benchmark("one", ("work",), run)})
    file = tmp_path / "figures.json"
    assert command.main(["one", "--json", str(file)]) == status
    (written,) = json.loads(file.read_text())
    assert (written["measured"], written["ratio"]) == (measured, measured / 10)


def test_what_does_not_come_about_fails_its_row_and_lets_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(_: Bench) -> Iterator[Figure]:
        yield figure(1.0)
        raise TooSlow("not within 60 s: the moon")

    def run(_: Bench) -> Iterator[Figure]:
        yield figure(2.0)

    benchmarks = {"one": Benchmark("one", ("work", "more"), never), "two": Benchmark("two", ("work",), run)}
    monkeypatch.setattr(command, "ALL", benchmarks)
    assert command.main([]) == 1
    rows = capsys.readouterr().out.splitlines()
    for expected, row in zip(("1.0 ms", "FAILED: not within", "2.0 ms"), rows[2:], strict=True):
        assert expected in row


def test_what_cannot_be_measured_here_is_said_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: Bench) -> Iterator[Figure]:
        raise AssertionError("it was run")

    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("tests.support.host.find", lambda _: None)
    monkeypatch.setattr(command, "ALL", {"one": Benchmark("one", ("row",), run, engine=True)})
    assert command.main([]) == 0
    out, err = capsys.readouterr()
    assert "SKIPPED" in out
    assert "NOT MEASURED: row" in err


def test_waiting_for_what_never_comes_ends() -> None:
    with pytest.raises(TooSlow, match="the moon"):
        until(lambda: False, "the moon", 0.01)
