"""The output of a sandbox's main process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.model.errors import EngineTimeoutError
from controller.runtime.docker.client import EngineClient
from controller.runtime.docker.config import DockerConfig, Timeouts
from controller.runtime.docker.logs import DockerLogs
from tests.docker_runtime.bench import Bench, until

pytestmark = pytest.mark.docker
COUNTING = {
    "command": ["sh", "-c", "i=0; while [ $i -lt 5 ]; do i=$((i+1)); echo line $i; done; echo oops >&2; sleep 600"]
}


def test_all_of_it_comes_stdout_and_stderr_together(bench: Bench) -> None:
    seen = bench.run(spec=COUNTING)
    until(lambda: b"oops" in b"".join(bench.runtime.logs(seen.id)))
    lines = b"".join(bench.runtime.logs(seen.id)).splitlines()
    assert sorted(lines) == [b"line 1", b"line 2", b"line 3", b"line 4", b"line 5", b"oops"]


def test_a_tail_is_counted_in_lines(bench: Bench) -> None:
    seen = bench.run(spec={"command": ["sh", "-c", "echo a; echo b; echo c"]})
    bench.ended(seen)
    assert b"".join(bench.runtime.logs(seen.id, tail=2)) == b"b\nc\n"
    assert b"".join(bench.runtime.logs(seen.id, tail=0)) == b""


def test_following_goes_on_until_the_end_of_the_process(bench: Bench) -> None:
    seen = bench.run(spec={"command": ["sh", "-c", "echo first; sleep 0.5; echo last"]})
    assert b"".join(bench.runtime.logs(seen.id, follow=True)) == b"first\nlast\n"


def test_closing_from_another_thread_ends_a_follow(bench: Bench) -> None:
    seen = bench.run(spec={"command": ["sh", "-c", "echo up; sleep 600"]})
    stream = bench.runtime.logs(seen.id, follow=True)
    chunks = iter(stream)
    assert next(chunks) == b"up\n"
    threading.Timer(0.2, stream.close).start()
    started = bench.clock.monotonic()
    assert list(chunks) == []
    assert bench.clock.monotonic() - started < 2
    stream.close()


def test_removing_the_sandbox_ends_a_follow(bench: Bench) -> None:
    seen = bench.run(spec={"command": ["sh", "-c", "echo up; sleep 600"]})
    chunks = iter(bench.runtime.logs(seen.id, follow=True))
    assert next(chunks) == b"up\n"
    bench.runtime.remove(seen.id)
    assert list(chunks) == []


def test_one_that_never_ran_has_said_nothing(bench: Bench) -> None:
    seen = bench.create()
    assert list(bench.runtime.logs(seen.id)) == []


@pytest.fixture
def mute_engine(tmp_path: Path) -> Iterator[str]:
    """The address of an engine that begins to answer, and then says nothing more."""
    address = tmp_path / "mute.sock"
    held: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        answering = threading.Thread(target=_begin_to_answer, args=(listener, held), daemon=True)
        answering.start()
        yield f"unix://{address}"
        listener.shutdown(socket.SHUT_RDWR)
        answering.join(5)
    for connection in held:
        connection.close()


def _begin_to_answer(listener: socket.socket, held: list[socket.socket]) -> None:
    frame = b"\x01\0\0\0\0\0\0\x06first\n"
    for _ in range(2):
        connection, _ = listener.accept()
        held.append(connection)
        head = b"HTTP/1.1 200 OK\r\n"
        if b"/_ping" in connection.recv(65536):
            connection.sendall(head + b"Api-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK")
        else:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(frame), frame))


def test_a_log_that_is_not_followed_waits_no_longer_than_any_call(mute_engine: str) -> None:
    client = EngineClient(DockerConfig("test", mute_engine, timeouts=Timeouts(read=0.3)))
    chunks = iter(DockerLogs(client, "web", 20, follow=False))
    assert next(chunks) == b"first\n"
    with pytest.raises(EngineTimeoutError):
        next(chunks)
