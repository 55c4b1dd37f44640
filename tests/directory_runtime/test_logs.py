"""The output of main processes."""

from __future__ import annotations

import threading
import time

from tests.directory_runtime.house import House, new_state_dir, until

LINES = "i=0; while [ $i -lt {0} ]; do i=$((i+1)); echo line $i; done; sleep 100"


def _whole(house: House, id: str, last: int) -> None:
    until(lambda: f"line {last}\n" in house.log(id))


def test_the_tail_counts_lines(house: House) -> None:
    id = house.make("sh", "-c", LINES.format(500))
    _whole(house, id, 500)
    assert b"".join(house.runtime.logs(id, tail=3)) == b"line 498\nline 499\nline 500\n"
    assert b"".join(house.runtime.logs(id, tail=0)) == b""
    assert len(b"".join(house.runtime.logs(id, tail=1000)).splitlines()) == 500


def test_a_last_line_that_has_not_ended_counts(house: House) -> None:
    id = house.make("sh", "-c", "echo one; printf two; sleep 100")
    until(lambda: "two" in house.log(id))
    assert b"".join(house.runtime.logs(id, tail=1)) == b"two"
    assert b"".join(house.runtime.logs(id, tail=2)) == b"one\ntwo"


def test_following_gives_what_comes_at_once_and_ends_with_the_sandbox(house: House) -> None:
    id = house.make("sh", "-c", "echo first; while [ ! -e go ]; do sleep 0.02; done; date +%s.%N; sleep 100")
    stream = iter(house.runtime.logs(id, follow=True))
    assert next(stream) == b"first\n"
    (house.workspace(id) / "go").touch()
    assert time.time() - float(next(stream)) < 0.5
    house.runtime.remove(id)
    assert list(stream) == []


def test_following_goes_on_over_a_restart(house: House) -> None:
    id = house.make("sh", "-c", "echo run")
    house.end_of(id)
    stream = iter(house.runtime.logs(id, follow=True))
    assert next(stream) == b"run\n"
    house.runtime.start(id)
    assert next(stream) == b"run\n"


def test_following_can_be_ended_from_another_thread(house: House) -> None:
    stream = house.runtime.logs(house.make("sleep", "100"), follow=True)
    reader = threading.Thread(target=lambda: list(stream))
    reader.start()
    stream.close()
    stream.close()
    reader.join(10)
    assert not reader.is_alive()


def test_before_the_first_output_there_is_nothing_to_read(house: House) -> None:
    assert house.log(house.make()) == ""


def test_a_log_is_capped_and_its_last_lines_stay() -> None:
    house = House(new_state_dir(), log_bytes=4096)
    try:
        id = house.make("sh", "-c", LINES.format(2000))
        _whole(house, id, 2000)
        files = sorted(path.name for path in house.folder(id).glob("output.log*"))
        assert files == ["output.log", "output.log.1"]
        sizes = [(house.folder(id) / name).stat().st_size for name in files]
        assert all(size <= 4096 for size in sizes)
        assert house.log(id).endswith("line 1999\nline 2000\n")
        kept = [int(line.split()[1]) for line in house.log(id).splitlines()[1:]]
        assert kept == list(range(kept[0], 2001))
        assert len(b"".join(house.runtime.logs(id, tail=300)).splitlines()) == 300
    finally:
        house.close()


def test_the_log_of_a_crash_loop_is_capped_too() -> None:
    house = House(new_state_dir(), log_bytes=4096)
    try:
        id = house.make("sh", "-c", "printf %1500d 1; exit 1")
        for _ in range(6):
            house.end_of(id)
            house.runtime.start(id)
        house.end_of(id)
        sizes = [path.stat().st_size for path in house.folder(id).glob("output.log*")]
        assert len(sizes) == 2
        assert max(sizes) <= 4096
    finally:
        house.close()


def test_following_loses_nothing_when_the_log_is_rotated() -> None:
    house = House(new_state_dir(), log_bytes=3_000)
    try:
        script = "i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo line $i; sleep 0.001; done; sleep 100"
        id = house.make("sh", "-c", script)
        found = b""
        for chunk in house.runtime.logs(id, follow=True):
            found += chunk
            if found.endswith(b"line 600\n"):
                break
        assert found.decode().splitlines() == [f"line {number}" for number in range(1, 601)]
    finally:
        house.close()
