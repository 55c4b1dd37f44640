"""An engine that is absent, forbidden, remote, hung, killed and started again."""

from __future__ import annotations

import os
import queue
import socket
import threading
from pathlib import Path

import pytest

from controller.model.errors import EngineTimeoutError, EngineUnavailableError
from controller.model.identity import Key, sandbox_key
from controller.model.observed import InstanceState
from controller.runtime.docker.config import Timeouts
from controller.runtime.docker.engine_process import engine_process
from controller.runtime.protocol import ExecRequest
from tests.docker_runtime.bench import Bench, until
from tests.docker_runtime.conftest import MakeBench
from tests.support import images
from tests.support.engine import PrivateEngine

WEB = sandbox_key("default", "web")
HASTY = Timeouts(connect=0.5, read=1.0, slow=20.0, ping=0.5)


def test_an_absent_engine_is_a_condition_that_says_what_to_do(make_bench: MakeBench, tmp_path: Path) -> None:
    runtime = make_bench(f"unix://{tmp_path}/none.sock").runtime
    able = runtime.capabilities()
    assert (able.available, able.reason) == (False, "EngineDown")
    assert "systemctl start docker" in able.message
    with pytest.raises(EngineUnavailableError, match="no engine at"):
        runtime.inspect(WEB)


def test_a_socket_that_nobody_listens_on_is_an_engine_that_is_down(make_bench: MakeBench, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    able = make_bench(f"unix://{tmp_path}/dead.sock").runtime.capabilities()
    assert (able.available, able.reason) == (False, "EngineDown")
    assert "nothing listens" in able.message


def test_a_remote_engine_is_not_local(make_bench: MakeBench) -> None:
    runtime = make_bench("tcp://192.0.2.1:2375").runtime
    able = runtime.capabilities()
    assert (able.available, able.reason) == (False, "EngineNotLocal")
    with pytest.raises(EngineUnavailableError, match="unix socket of this machine") as caught:
        runtime.list()
    assert caught.value.reason == "EngineNotLocal"


@pytest.mark.root
def test_a_socket_closed_to_this_user_says_how_to_open_it(make_bench: MakeBench, tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    address = tmp_path / "closed.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        address.chmod(0o600)
        runtime = make_bench(f"unix://{address}").runtime
        os.seteuid(65534)
        try:
            able = runtime.capabilities()
        finally:
            os.seteuid(0)
    assert (able.available, able.reason) == (False, "EnginePermission")
    assert "usermod -aG docker" in able.message


def test_something_else_behind_the_socket_is_no_engine(make_bench: MakeBench, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "other.sock"))
        listener.listen()
        runtime = make_bench(f"unix://{tmp_path}/other.sock").runtime
        answering = threading.Thread(target=_answer_nonsense, args=(listener,), daemon=True)
        answering.start()
        able = runtime.capabilities()
        answering.join()
    assert not able.available


def _answer_nonsense(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"220 mail.example.org ESMTP\r\n")


@pytest.fixture
def fragile(make_bench: MakeBench, disposable_engine: PrivateEngine) -> Bench:
    """A bench on an engine that the test may kill, with short timeouts."""
    disposable_engine.load_images(images.BUSYBOX)
    bench = make_bench(disposable_engine.docker_host)
    bench.runtime.close()
    bench.runtime = bench.another(timeouts=HASTY, ping_interval=0.5)
    return bench


@pytest.mark.docker
def test_the_process_behind_the_socket_is_the_engines(disposable_engine: PrivateEngine) -> None:
    address = str(disposable_engine.socket)
    first = engine_process(address)
    assert first is not None
    assert first == engine_process(address)
    disposable_engine.restart()
    second = engine_process(address)
    assert second is not None
    assert second.token != first.token
    assert second.started_at >= first.started_at


def watched(bench: Bench) -> queue.Queue[Key | None]:
    wakes: queue.Queue[Key | None] = queue.Queue()
    bench.runtime.watch(wakes.put)
    assert wakes.get(timeout=5) is None
    return wakes


@pytest.mark.docker
def test_a_killed_engine_comes_back_with_its_exits_marked(fragile: Bench, disposable_engine: PrivateEngine) -> None:
    """Wakes come again by themselves, and the exits that the restart caused are told from a sandbox's own."""
    running = fragile.run()
    done = fragile.run("job", {"command": ["sh", "-c", "exit 5"]})
    own = fragile.ended(done)
    wakes = watched(fragile)
    disposable_engine.kill()
    until(lambda: not fragile.runtime.capabilities().available)
    with pytest.raises(EngineUnavailableError):
        fragile.runtime.inspect(WEB)
    while not wakes.empty():
        wakes.get()
    disposable_engine.start()
    assert wakes.get(timeout=10) is None
    until(lambda: fragile.runtime.capabilities().available)
    ended = fragile.ended(running)
    assert (ended.code in (137, 143), ended.engine_restarted, ended.oom_killed) == (True, True, False)
    assert fragile.ended(done) == own
    assert not own.engine_restarted
    fragile.runtime.start(running.id)
    while wakes.get(timeout=10) != WEB:
        pass
    fragile.runtime.kill(running.id)
    assert not fragile.ended(running).engine_restarted


@pytest.mark.docker
def test_a_restart_that_the_daemon_slept_through_is_seen_afterwards(
    fragile: Bench, disposable_engine: PrivateEngine
) -> None:
    running = fragile.run()
    done = fragile.run("job", {"command": ["sh", "-c", "exit 0"]})
    fragile.ended(done)
    fragile.runtime.capabilities()
    fragile.runtime.close()
    disposable_engine.restart()
    fragile.runtime = fragile.another(timeouts=HASTY)
    assert fragile.ended(running).engine_restarted
    assert not fragile.ended(done).engine_restarted


@pytest.mark.docker
def test_a_hung_engine_holds_nobody_longer_than_the_timeout(fragile: Bench, disposable_engine: PrivateEngine) -> None:
    seen = fragile.run(spec={"command": ["sh", "-c", "echo up; sleep 600"]})
    wakes = watched(fragile)
    session = fragile.runtime.exec(seen.id, ExecRequest(("sh", "-c", "echo in; sleep 600"), timeout=2.0))
    output = session.output()
    assert next(output) == ("stdout", b"in\n")
    follow = iter(fragile.runtime.logs(seen.id, follow=True))
    assert next(follow) == b"up\n"
    disposable_engine.pause()
    started = fragile.clock.monotonic()
    with pytest.raises(EngineTimeoutError, match="did not answer"):
        fragile.runtime.inspect(WEB)
    assert fragile.clock.monotonic() - started < 3
    until(lambda: not fragile.runtime.capabilities().available)
    assert fragile.runtime.usage([seen])[seen.id].pids
    assert list(follow) == []
    assert list(output) == []
    assert session.exit_code() == 124
    while not wakes.empty():
        wakes.get()
    disposable_engine.resume()
    until(lambda: fragile.runtime.capabilities().available)
    assert wakes.get(timeout=10) is None
    again = fragile.look("web", seen.id)
    assert (again.state, again.pid) == (InstanceState.RUNNING, seen.pid)
    fragile.runtime.kill(seen.id)
    assert not fragile.ended(seen).engine_restarted


@pytest.mark.docker
def test_an_engine_that_comes_later_is_found(make_bench: MakeBench, disposable_engine: PrivateEngine) -> None:
    disposable_engine.load_images(images.BUSYBOX)
    disposable_engine.kill()
    bench = make_bench(disposable_engine.docker_host)
    wakes: queue.Queue[Key | None] = queue.Queue()
    bench.runtime.watch(wakes.put)
    until(lambda: bench.runtime.capabilities().reason == "EngineDown")
    disposable_engine.start()
    until(lambda: bench.runtime.capabilities().available)
    assert bench.run().state is InstanceState.RUNNING
