"""The state store on real files."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.errors import StateError
from controller.model.identity import Key, sandbox_key
from controller.model.observed import Usage
from controller.report import event_log
from controller.report.store import SqliteStore
from tests.report.values import NOON, WEB, HandClock, event, record, status, termination

OTHER = sandbox_key("team", "worker")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path, HandClock())
    yield opened
    opened.close()


def reopened(store: SqliteStore, path: Path) -> SqliteStore:
    store.close()
    return SqliteStore(path, HandClock())


def test_what_was_saved_is_loaded_again(store: SqliteStore, path: Path) -> None:
    store.save(WEB, record(), status())
    store.save(OTHER, record("other"), None)
    assert reopened(store, path).load() == {WEB: (record(), status()), OTHER: (record("other"), None)}


def test_a_deleted_key_is_forgotten_and_its_events_stay(store: SqliteStore) -> None:
    store.save(WEB, record(), status())
    store.add_event(event())
    store.delete(WEB)
    assert store.load() == {}
    assert [found.message for found in store.events(WEB)] == ["message 0"]


def test_an_unchanged_key_is_not_written(store: SqliteStore, path: Path) -> None:
    store.save(WEB, record(), status())
    before = path.with_name("state.db-wal").stat().st_size
    store.save(WEB, record(), status())
    store.save(WEB, record(), status(measured=Usage(NOON, 1.0, 2, 3)))
    assert path.with_name("state.db-wal").stat().st_size == before
    store.save(WEB, replace(record(), restarts=1), status())
    assert store.load()[WEB][0].restarts == 1


def test_a_key_saved_again_after_its_deletion_is_written(store: SqliteStore) -> None:
    store.save(WEB, record(), None)
    store.delete(WEB)
    store.save(WEB, record(), None)
    assert store.load() == {WEB: (record(), None)}


def test_a_record_survives_kill_9(path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from controller.model.clock import SystemClock
from controller.report.store import SqliteStore
from tests.report.values import WEB, record, status
SqliteStore(Path(sys.argv[1]), SystemClock()).save(WEB, record(), status())
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False, cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    assert SqliteStore(path, HandClock()).load() == {WEB: (record(), status())}


def test_the_files_are_private(store: SqliteStore, path: Path) -> None:
    store.save(WEB, record(), None)
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {
        "state.db": "0o600",
        "state.db-wal": "0o600",
        "state.db-shm": "0o600",
    }


def test_a_store_that_is_no_database_is_set_aside(path: Path) -> None:
    path.write_text("this was a database once, before the disk died " * 100)
    store = SqliteStore(path, HandClock())
    assert "damaged-20261124T120000Z" in store.rebuilt
    assert store.load() == {}
    store.save(WEB, record(), None)
    assert path.with_name("state.db.damaged-20261124T120000Z").read_text().startswith("this was a database once")


def test_a_store_with_a_damaged_page_is_set_aside(store: SqliteStore, path: Path) -> None:
    for number in range(50):
        store.save(sandbox_key("default", f"web-{number}"), record(), status())
    store.close()
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 4096)
    again = SqliteStore(path, HandClock())
    assert again.rebuilt
    assert again.load() == {}


def test_an_intact_store_was_not_rebuilt(store: SqliteStore) -> None:
    assert store.rebuilt == ""


def test_a_row_that_cannot_be_read_is_left_out(store: SqliteStore, path: Path) -> None:
    store.save(WEB, record(), status())
    store.save(OTHER, record(), status())
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE sandboxes SET record = '{}' WHERE name = 'web'")
    connection.execute("UPDATE sandboxes SET status = 'half' WHERE name = 'worker'")
    connection.commit()
    connection.close()
    assert reopened(store, path).load() == {OTHER: (record(), None)}


def test_a_store_of_a_newer_version_is_refused_and_kept(store: SqliteStore, path: Path) -> None:
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateError, match="schema 99"):
        SqliteStore(path, HandClock())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="its folder exists"):
        SqliteStore(tmp_path / "nowhere" / "state.db", HandClock())


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(StateError, match="closed"):
        store.save(WEB, record(), None)


def test_many_threads_can_write(store: SqliteStore) -> None:
    keys = [sandbox_key("default", f"web-{number}") for number in range(40)]

    def write(part: list[Key]) -> None:
        for key in part:
            store.save(key, record(key.name), status(key))
            store.add_event(event(key=key))

    threads = [threading.Thread(target=write, args=(keys[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.load()) == sorted(keys)
    assert len(store.events()) == 40


def test_a_repeated_event_is_one_with_a_count_and_moves_to_the_end(store: SqliteStore) -> None:
    first = store.add_event(event(0, NOON))
    other = store.add_event(event(1, NOON + 1))
    again = store.add_event(event(0, NOON + 599))
    assert (again.count, again.first, again.at) == (2, NOON, NOON + 599)
    assert first.id < other.id < again.id
    assert store.events() == [other, again]
    assert store.events(after=other.id) == [again]


def test_a_repeat_after_ten_minutes_is_an_event_of_its_own(store: SqliteStore) -> None:
    store.add_event(event(0, NOON))
    store.add_event(event(0, NOON + 601))
    assert [found.count for found in store.events()] == [1, 1]


def test_the_newest_events_are_given_and_followed_from_there(store: SqliteStore) -> None:
    stored = [store.add_event(event(number)) for number in range(10)]
    assert store.events(limit=3) == stored[-3:]
    assert store.events(after=stored[1].id, limit=3) == stored[2:5]


def test_events_of_one_sandbox_are_picked(store: SqliteStore) -> None:
    store.add_event(event(0))
    of_other = store.add_event(event(0, key=OTHER))
    assert store.events(OTHER) == [of_other]
    assert store.events(OTHER, after=of_other.id) == []


def test_events_of_one_namespace_are_picked_before_they_are_counted(store: SqliteStore) -> None:
    mine = [store.add_event(event(number, key=sandbox_key("team-a", "web"))) for number in range(3)]
    for number in range(5):
        store.add_event(event(number))
    assert store.events(limit=2, namespace="team-a") == mine[1:]
    assert store.events(after=mine[0].id, limit=1, namespace="team-a") == [mine[1]]


def test_who_waits_for_an_event_is_woken_by_it_and_by_its_repetition(store: SqliteStore) -> None:
    assert store.wait_for_event(0, 0.0) == 0
    with ThreadPoolExecutor() as pool:
        for newest in (1, 2):
            waiting = pool.submit(store.wait_for_event, newest - 1, 20.0)
            store.add_event(event(0))
            assert waiting.result() == newest


def test_event_ids_grow_over_a_restart(store: SqliteStore, path: Path) -> None:
    before = store.add_event(event(0))
    assert reopened(store, path).add_event(event(1)).id > before.id


def test_only_the_newest_events_are_kept(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "EVENTS_KEPT", 50)
    monkeypatch.setattr(event_log, "_TRIM_EVERY", 1)
    for number in range(80):
        store.add_event(event(number))
    assert [found.message for found in store.events()] == [f"message {number}" for number in range(30, 80)]


def test_events_of_last_week_are_dropped(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "_TRIM_EVERY", 1)
    store.add_event(event(0, NOON))
    store.add_event(event(1, NOON + 8 * 86400))
    assert [found.message for found in store.events()] == ["message 1"]


def test_a_long_message_is_cut_and_odd_characters_are_replaced(store: SqliteStore) -> None:
    stored = store.add_event(replace(event(), message="\udcff" + "x" * 5000))
    assert stored.message == "?" + "x" * 1023
    assert store.events() == [stored]


def test_the_last_twenty_terminations_are_kept_newest_first(store: SqliteStore) -> None:
    for number in range(25):
        store.add_termination(WEB, "0b9c", termination(number))
    store.add_termination(OTHER, "x", termination(99))
    assert store.terminations(WEB) == [termination(number) for number in range(24, 4, -1)]


def test_a_new_sandbox_does_not_inherit_the_evidence_of_a_former_one(store: SqliteStore) -> None:
    store.save(WEB, record("old"), None)
    store.add_termination(WEB, "old", termination())
    store.delete(WEB)
    assert store.terminations(WEB) == [termination()]
    store.save(WEB, record("new"), None)
    assert store.terminations(WEB) == []


def test_evidence_of_a_deleted_sandbox_ages_out(path: Path) -> None:
    clock = HandClock()
    store = SqliteStore(path, clock)
    store.add_termination(WEB, "old", termination())
    clock.time += 8 * 86400
    store.add_termination(OTHER, "x", replace(termination(), finished_at=clock.time))
    assert store.terminations(WEB) == []


def test_evidence_can_be_erased(store: SqliteStore) -> None:
    store.add_termination(WEB, "0b9c", termination())
    store.forget_terminations(WEB)
    assert store.terminations(WEB) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def save_many(store: SqliteStore) -> None:
    for number in range(100):
        store.save(sandbox_key("default", f"web-{number}"), record(), status())


def add_many_events(store: SqliteStore) -> None:
    for number in range(1, 100):
        store.add_event(event(number))


@pytest.mark.root
def test_a_full_disk_is_said_and_the_store_goes_on_when_there_is_space(small_disk: Path) -> None:
    path = small_disk / "state.db"
    store = SqliteStore(path, HandClock())
    store.save(WEB, record(), status())
    stored = store.add_event(event(0))
    fill(small_disk)
    with pytest.raises(StateError, match="no space is left; free some"):
        save_many(store)
    with pytest.raises(StateError, match="no space is left"):
        add_many_events(store)
    assert store.load()[WEB] == (record(), status())
    assert store.events(limit=20_000)[0] == stored
    (small_disk / "ballast").unlink()
    store.save(OTHER, record(), status())
    store.add_event(event(1000))
    store.close()
    assert OTHER in SqliteStore(path, HandClock()).load()


@pytest.mark.root
def test_a_store_is_opened_on_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "state.db"
    store = SqliteStore(path, HandClock())
    store.save(WEB, record(), status())
    store.close()
    fill(small_disk)
    again = SqliteStore(path, HandClock())
    assert again.load() == {WEB: (record(), status())}
    with pytest.raises(StateError, match="no space is left"):
        save_many(again)


@pytest.mark.root
def test_a_read_only_disk_is_said(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "state.db", HandClock())
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StateError, match="read-only; make its file system and folder writable"):
        SqliteStore(small_disk / "state.db", HandClock())
