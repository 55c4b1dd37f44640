"""Which exits an engine's restart explains, on a clock turned by hand."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controller.model.errors import EngineUnavailableError
from controller.runtime.docker.engine_process import EngineProcess, engine_process
from controller.runtime.docker.epochs import EngineEpochs
from tests.support.clock import FakeClock


class Engine:
    """An engine process that tests restart."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.process: EngineProcess | None = None
        self.shuts_down = False
        self.restart()

    def restart(self) -> None:
        self.shuts_down = False
        self.process = EngineProcess(f"boot:{self._clock.now()}", self._clock.now())

    def identify(self) -> EngineProcess | None:
        if self.shuts_down:
            raise ConnectionRefusedError
        return self.process


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def engine(clock: FakeClock) -> Engine:
    return Engine(clock)


@pytest.fixture
def epochs(tmp_path: Path, clock: FakeClock, engine: Engine) -> EngineEpochs:
    found = EngineEpochs(tmp_path / "engine.json", clock, engine.identify)
    clock.advance(100)
    found.confirm()
    return found


@pytest.mark.parametrize("code", [0, 3, 137, 143])
def test_without_a_restart_nothing_is_explained(epochs: EngineEpochs, clock: FakeClock, code: int) -> None:
    clock.advance(10)
    epochs.lost()
    clock.advance(10)
    assert not epochs.confirm()
    assert not epochs.explains(clock.now() - 10, code)


@pytest.mark.parametrize(
    ("code", "ago", "explained"),
    [(0, 5, True), (137, 5, True), (0, 11, False), (143, 11, True), (0, 30, False), (137, 30, False)],
)
def test_a_restart_explains_what_ended_since_the_connection_broke(
    epochs: EngineEpochs, clock: FakeClock, engine: Engine, code: int, ago: float, explained: bool
) -> None:
    clock.advance(40)
    epochs.confirm()
    clock.advance(40)
    epochs.lost()
    clock.advance(8)
    engine.restart()
    clock.advance(2)
    assert epochs.confirm()
    assert epochs.explains(clock.now() - ago, code) is explained


@pytest.mark.parametrize(
    ("code", "before_start", "explained"),
    [(137, 3000, True), (143, 3000, True), (255, 3000, True), (0, 3000, False), (1, 3000, False), (0, 5, True)],
)
def test_a_restart_slept_through_explains_the_engines_signals_and_what_ended_with_it(
    tmp_path: Path, code: int, before_start: float, explained: bool
) -> None:
    clock = FakeClock()
    engine = Engine(clock)
    EngineEpochs(tmp_path / "engine.json", clock, engine.identify).confirm()
    clock.advance(3600)
    engine.restart()
    started_at = clock.now()
    clock.advance(600)
    later = EngineEpochs(tmp_path / "engine.json", clock, engine.identify)
    assert later.confirm()
    assert later.explains(started_at - before_start, code) is explained


@pytest.mark.parametrize(
    ("code", "before_start", "explained"), [(137, 3000, True), (143, 5, True), (0, 3000, False), (0, 5, True)]
)
def test_an_engine_that_is_away_as_the_daemon_begins_went_before_and_not_just_now(
    tmp_path: Path, code: int, before_start: float, explained: bool
) -> None:
    clock = FakeClock()
    engine = Engine(clock)
    EngineEpochs(tmp_path / "engine.json", clock, engine.identify).confirm()
    clock.advance(3600)
    later = EngineEpochs(tmp_path / "engine.json", clock, engine.identify)
    later.lost()
    engine.restart()
    started_at = clock.now()
    clock.advance(1)
    assert later.confirm()
    assert later.explains(started_at - before_start, code) is explained


def test_that_an_engine_went_is_known_to_the_next_daemon(
    tmp_path: Path, epochs: EngineEpochs, clock: FakeClock, engine: Engine
) -> None:
    clock.advance(40)
    epochs.lost()
    ended_at = clock.now() + 1
    clock.advance(600)
    later = EngineEpochs(tmp_path / "engine.json", clock, engine.identify)
    later.lost()
    engine.restart()
    clock.advance(1)
    assert later.confirm()
    assert later.explains(ended_at, 0)


def test_what_is_known_of_restarts_survives_the_daemon(
    tmp_path: Path, epochs: EngineEpochs, clock: FakeClock, engine: Engine
) -> None:
    epochs.lost()
    clock.advance(5)
    engine.restart()
    epochs.confirm()
    ended_at = clock.now() - 2
    clock.advance(3600)
    later = EngineEpochs(tmp_path / "engine.json", clock, engine.identify)
    later.confirm()
    assert later.explains(ended_at, 137)
    assert not later.explains(clock.now() - 10, 137)


def test_an_exit_newer_than_the_last_look_makes_it_look(epochs: EngineEpochs, clock: FakeClock, engine: Engine) -> None:
    clock.advance(5)
    engine.restart()
    clock.advance(5)
    assert epochs.explains(clock.now() - 6, 137)


@pytest.mark.parametrize("code", [0, 143])
def test_an_exit_while_the_engine_goes_is_explained_by_the_next_one(
    epochs: EngineEpochs, clock: FakeClock, engine: Engine, code: int
) -> None:
    told: list[object] = []
    epochs.on_lost = told.append
    clock.advance(5)
    ended_at = clock.now()
    clock.advance(0.1)
    engine.shuts_down = True
    with pytest.raises(EngineUnavailableError, match="no new connections"):
        epochs.explains(ended_at, code)
    assert len(told) == 1
    engine.shuts_down = False
    assert not epochs.explains(ended_at, code), "an engine that only hung explains nothing"
    clock.advance(5)
    ended_at = clock.now()
    engine.shuts_down = True
    with pytest.raises(EngineUnavailableError):
        epochs.confirm()
    with pytest.raises(EngineUnavailableError):
        epochs.explains(ended_at, code)
    clock.advance(5)
    engine.restart()
    assert epochs.explains(ended_at, code)


def test_the_first_engine_ever_seen_is_no_restart(tmp_path: Path, clock: FakeClock, engine: Engine) -> None:
    epochs = EngineEpochs(None, clock, engine.identify)
    assert not epochs.confirm()
    assert not epochs.explains(clock.now() - 5, 137)


def test_an_engine_that_cannot_be_identified_is_taken_for_another_when_its_connection_broke(
    clock: FakeClock, engine: Engine
) -> None:
    engine.process = None
    epochs = EngineEpochs(None, clock, engine.identify)
    epochs.confirm()
    clock.advance(5)
    assert not epochs.confirm()
    epochs.lost()
    clock.advance(5)
    assert epochs.confirm()
    assert epochs.explains(clock.now() - 2, 137)


@pytest.mark.parametrize("content", ["", "[]", '{"token": 1}', '{"token":"x","seenAt":1,"outages":[{}]}'])
def test_a_damaged_file_is_as_none(tmp_path: Path, clock: FakeClock, engine: Engine, content: str) -> None:
    (tmp_path / "engine.json").write_text(content)
    epochs = EngineEpochs(tmp_path / "engine.json", clock, engine.identify)
    assert not epochs.confirm()
    assert not epochs.explains(clock.now() - 5, 137)


def test_a_state_folder_that_cannot_be_written_stops_nothing(clock: FakeClock, engine: Engine) -> None:
    epochs = EngineEpochs(Path("/proc/no/engine.json"), clock, engine.identify)
    assert not epochs.confirm()


def test_a_listener_that_is_no_engine_is_not_identified(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        assert engine_process(str(tmp_path / "engine.sock")) is None


MANAGER = """
import pathlib, socket, subprocess, sys
pathlib.Path("/proc/self/comm").write_text("systemd")
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
child = "import pathlib, time; pathlib.Path('/proc/self/comm').write_text('dockerd'); print(flush=True); time.sleep(60)"
engine = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
engine.stdout.readline()
print(engine.pid, flush=True)
sys.stdin.read()
engine.kill()
"""


def test_of_a_socket_that_a_service_manager_opened_it_is_the_managers_engine(tmp_path: Path) -> None:
    address = str(tmp_path / "engine.sock")
    command = [sys.executable, "-c", MANAGER, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as manager:
        assert manager.stdout is not None
        engine = manager.stdout.readline().strip()
        found = engine_process(address)
        manager.communicate()
    assert found is not None
    assert found.token.split(":")[1] == engine
