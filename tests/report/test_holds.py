"""The holds file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.model.errors import StateError
from controller.model.hold import Hold, HoldType
from controller.model.identity import sandbox_key
from controller.report.holds import JsonHoldStore
from tests.report.values import NOON, WEB, HandClock

SUSPENDED = Hold(WEB, HoldType.SUSPENDED, "asked", NOON, 3)
THROTTLED = Hold(sandbox_key("team", "worker"), HoldType.THROTTLED, "cpu above 95%", NOON, 1, 250)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "holds.json"


@pytest.fixture
def store(path: Path) -> JsonHoldStore:
    return JsonHoldStore(path, HandClock())


def test_there_are_no_holds_before_the_first(store: JsonHoldStore) -> None:
    assert store.load() == []


def test_holds_are_loaded_as_they_were_saved(store: JsonHoldStore, path: Path) -> None:
    store.save([SUSPENDED, THROTTLED])
    assert JsonHoldStore(path).load() == [SUSPENDED, THROTTLED]
    store.save([])
    assert JsonHoldStore(path).load() == []


def test_the_file_is_private_and_alone(store: JsonHoldStore, path: Path) -> None:
    store.save([SUSPENDED])
    assert [(file.name, oct(file.stat().st_mode & 0o777)) for file in path.parent.iterdir()] == [
        ("holds.json", "0o600")
    ]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"null", b'{"holds": 3}', b'{"version": 1}', b'{"hol'])
def test_a_damaged_file_is_set_aside(store: JsonHoldStore, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert store.load() == []
    assert path.with_name("holds.json.damaged-20261124T120000Z").read_bytes() == content
    assert store.load() == []


def test_a_second_damaged_file_does_not_overwrite_the_first(store: JsonHoldStore, path: Path) -> None:
    for content in (b"first", b"second"):
        path.write_bytes(content)
        store.load()
    assert path.with_name("holds.json.damaged-20261124T120000Z").read_bytes() == b"first"
    assert path.with_name("holds.json.damaged-20261124T120000Z-1").read_bytes() == b"second"


def test_holds_beside_one_of_an_unknown_type_still_count(store: JsonHoldStore, path: Path) -> None:
    store.save([SUSPENDED, THROTTLED])
    data = json.loads(path.read_text())
    data["holds"][1]["type"] = "Bewitched"
    path.write_text(json.dumps(data))
    assert store.load() == [SUSPENDED]
    assert JsonHoldStore(path).load() == [SUSPENDED]
    assert "Bewitched" in path.with_name("holds.json.damaged-20261124T120000Z").read_text()


def test_a_save_that_fails_keeps_the_former_holds(store: JsonHoldStore, path: Path) -> None:
    store.save([SUSPENDED])
    path.with_name(".holds.json.new").mkdir()
    with pytest.raises(StateError, match="cannot be written"):
        store.save([])
    assert store.load() == [SUSPENDED]


def test_a_file_that_cannot_be_read_is_said(store: JsonHoldStore, path: Path) -> None:
    path.mkdir()
    with pytest.raises(StateError, match="cannot be read"):
        store.load()
