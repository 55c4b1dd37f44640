"""Quantities as people write them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from controller.model.errors import QuantityError
from controller.model.quantity import (
    format_cpu,
    format_duration,
    format_memory,
    memory_hint,
    parse_cpu,
    parse_duration,
    parse_memory,
    parse_percent,
)

KI, MI, GI = 1 << 10, 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512Mi", 512 * MI),
        ("1Gi", GI),
        ("2Ti", 2 << 40),
        ("1Pi", 1 << 50),
        ("512m", 512 * MI),
        ("64k", 64 * KI),
        ("1g", GI),
        ("7b", 7),
        ("512M", 512_000_000),
        ("1K", 1000),
        ("2G", 2 * 10**9),
        ("1048576", MI),
        (1048576, MI),
        ("1.5Gi", 3 * GI // 2),
        ("0.5Ki", 512),
        ("999999999999999999", 999999999999999999),
    ],
)
def test_memory(text: str | int, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "Mi", "-1Mi", "1 Gi", "1GiB", "512mb", "1e3", "0x10", "½Gi", "٣Mi", True, "1.Mi", "9" * 18 + "Pi"]
)
def test_what_is_not_memory_is_refused_with_what_would_be_right(text: Any) -> None:
    with pytest.raises(QuantityError, match="write 512Mi, 1Gi or 512m"):
        parse_memory(text)


def test_a_decimal_suffix_is_hinted_at() -> None:
    assert memory_hint("512M") == "512M is decimal (512000000 bytes); 512Mi is the binary unit that engines report"
    assert [memory_hint(text) for text in ("512Mi", "512m", "512", "nonsense", 5)] == [None] * 5


@given(text=st.from_regex(r"[0-9]{1,18}[KMGTP]?", fullmatch=True))
def test_a_hint_is_never_a_fault(text: str) -> None:
    assert memory_hint(text) is None or text[-1] in "MGTP"


@pytest.mark.parametrize(
    ("text", "millis"),
    [("1", 1000), ("0.5", 500), ("500m", 500), ("1m", 1), (2, 2000), (0.25, 250), ("1.001", 1001), ("4.35", 4350)],
)
def test_cpu(text: str | float, millis: int) -> None:
    assert parse_cpu(text) == millis


@pytest.mark.parametrize("text", ["", "m", "0", "0m", "0.0001", "0.5m", "-1", "1 core", "1e3", "²", True])
def test_what_is_not_cpu_is_refused(text: Any) -> None:
    with pytest.raises(QuantityError):
        parse_cpu(text)


def test_percentages() -> None:
    assert [parse_percent(text) for text in ("0%", "80%", "99.5%", "100%")] == [0.0, 0.8, 0.995, 1.0]
    for text in ("", "80", "101%", "-1%", "80 %", "%"):
        with pytest.raises(QuantityError):
            parse_percent(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("500ms", 0.5), ("1.5s", 1.5), ("1m5ms", 60.005)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "1h 30m", "30m1h", "-5s", "1.5h", "s", "5M", "1w"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="write 90s, 10m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("parse", [parse_memory, memory_hint, parse_cpu, parse_percent, parse_duration])
@given(text=st.one_of(st.text(max_size=30), st.from_regex(r"[0-9.]{1,25}[a-zA-Z%]{0,3}", fullmatch=True)))
@example(text="9" * 25)
@example(text="1\n")
@example(text="1Mi\x00")
def test_no_text_is_more_than_refused(parse: Callable[[str], object], text: str) -> None:
    with suppress(QuantityError):
        parse(text)


@given(st.integers(0, 10**18 - 1))
@example(GI)
@example(0)
def test_memory_is_written_as_it_is_read(size: int) -> None:
    assert parse_memory(format_memory(size)) == size


@given(st.integers(1, 10**9))
def test_cpu_is_written_as_it_is_read(millis: int) -> None:
    assert parse_cpu(format_cpu(millis)) == millis


@given(st.integers(1, 10**9))
def test_cpu_in_cores_is_exact_to_the_thousandth(millis: int) -> None:
    assert parse_cpu(f"{millis // 1000}.{millis % 1000:03}") == millis


@given(st.floats(0, 10**8, allow_nan=False))
def test_a_duration_is_written_to_its_two_largest_units(seconds: float) -> None:
    written = parse_duration(format_duration(seconds))
    assert written == pytest.approx(seconds, rel=0.05, abs=0.51)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.25, "250ms"), (1, "1s"), (59.7, "1m"), (90, "1m30s"), (5400, "1h30m"), (90061, "1d1h")],
)
def test_durations_as_people_read_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_sizes_as_people_read_them() -> None:
    assert [format_memory(size) for size in (0, 1023, KI, 512 * MI, 3 * GI // 2)] == [
        *("0", "1023", "1Ki", "512Mi", "1536Mi"),
    ]
    assert [format_cpu(millis) for millis in (1, 500, 1000, 2000)] == ["1m", "500m", "1", "2"]
