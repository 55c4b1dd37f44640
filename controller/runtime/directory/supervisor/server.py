"""The supervisor's one loop: clients, reports and output of children, their ends, timeouts of execs."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from controller.runtime.directory.supervisor.children import Child, Exec, Main
from controller.runtime.directory.wire import VERSION, Lines, encode

IDLE_SECONDS: Final = 1.0
_LONGEST_WAIT: Final = 3600.0  # epoll takes at most 2³¹ milliseconds
_HANDLED_SIGNALS: Final = (signal.SIGCHLD, signal.SIGTERM)


class Client:
    """A connection. It may wait for the answer about a child, or for the end of a sandbox's main process."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = Lines()
        self.exec: Exec | None = None


class Supervisor:
    """Serves until it has been idle for a while: no child, adopted ones included, and no client."""

    def __init__(self, listener: socket.socket, identity: str) -> None:
        self._listener = listener
        self._identity = identity
        self._selector = selectors.DefaultSelector()
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._clients: set[Client] = set()
        self._subscribers: set[Client] = set()
        self._waiting: dict[str, list[Client]] = {}
        self._children: dict[int, Child] = {}
        self._mains: dict[str, Main] = {}
        self._starters: dict[Main, Client] = {}
        self._childless = True
        self._terminating = False
        self._busy_at = time.monotonic()
        self._operations: dict[str, Callable[[Client, dict[str, Any]], None]] = {
            "start": self._start,
            "exec": self._exec,
            "wait": self._wait,
            "subscribe": self._subscribe,
        }

    def serve(self) -> None:
        """Returns when it is not needed any more."""
        self._listener.setblocking(False)
        self._selector.register(self._listener.fileno(), selectors.EVENT_READ, self._accept)
        self._catch_signals()
        while not self._is_done():
            for key, _ in self._selector.select(self._timeout()):
                if self._selector.get_map().get(key.fd) is key:  # not removed by an earlier one of this round
                    key.data()
            self._expire()

    def _catch_signals(self) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in _HANDLED_SIGNALS:
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._signalled(os.read(reader, 4096)))

    def _signalled(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers:
            self._terminating = True
            for child in self._children.values():
                os.kill(child.pid, signal.SIGTERM)
        self._reap()

    def _is_done(self) -> bool:
        if self._children or not self._childless:
            return False
        if self._terminating:
            return True
        if self._clients:
            self._busy_at = time.monotonic()
        return time.monotonic() - self._busy_at >= IDLE_SECONDS

    def _timeout(self) -> float | None:
        ends = [child.deadline for child in self._children.values() if isinstance(child, Exec) and child.deadline]
        if not self._children and self._childless and not self._clients:
            ends.append(self._busy_at + IDLE_SECONDS)
        return min(max(0.0, min(ends) - time.monotonic()), _LONGEST_WAIT) if ends else None

    def _expire(self) -> None:
        now = time.monotonic()
        for child in list(self._children.values()):
            if isinstance(child, Exec) and child.deadline is not None and child.deadline <= now:
                child.expire()

    # Clients

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        client = Client(connection)
        self._clients.add(client)
        self._selector.register(connection.fileno(), selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: Client) -> None:
        try:
            messages = client.lines.receive(client.connection)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            messages = None
        if messages is None:
            self._drop(client)
            return
        for message in messages:
            self._handle(client, message)

    def _handle(self, client: Client, message: dict[str, Any]) -> None:
        try:
            if message["v"] != VERSION:
                raise ValueError(f"speaks version {VERSION}, was asked in version {message['v']}")
            self._busy_at = time.monotonic()
            self._operations[message["op"]](client, message)
        except OSError as exc:
            self._answer(client, {"error": exc.strerror or str(exc), "errno": exc.errno})
        except (KeyError, TypeError, ValueError) as exc:
            self._answer(client, {"error": f"{type(exc).__name__}: {exc}"})

    def _drop(self, client: Client) -> None:
        """A connection that closes ends its exec."""
        if client not in self._clients:
            return
        self._clients.discard(client)
        self._subscribers.discard(client)
        self._busy_at = time.monotonic()
        self._selector.unregister(client.connection.fileno())
        client.connection.close()
        for descriptor in client.lines.take_descriptors():
            os.close(descriptor)
        if client.exec is not None:
            client.exec.kill()

    def _answer(self, client: Client, message: dict[str, Any]) -> None:
        """A client that does not read what it asked for is dropped: it has to look again."""
        if client not in self._clients:
            return
        data = encode(message)
        try:
            if client.connection.send(data) == len(data):
                return
        except OSError:
            pass
        self._drop(client)

    # Operations

    def _start(self, client: Client, message: dict[str, Any]) -> None:
        if self._terminating or message["id"] in self._mains:
            raise ValueError("the supervisor is ending" if self._terminating else f"{message['id']} runs already")
        main = Main(message, self._null, self._identity)
        self._mains[main.id] = main
        self._starters[main] = client
        self._selector.register(main.output, selectors.EVENT_READ, lambda: self._copy_output(main))
        self._adopt(main, lambda: self._tell_started(main))

    def _exec(self, client: Client, message: dict[str, Any]) -> None:
        descriptors = client.lines.take_descriptors()
        try:
            if self._terminating or client.exec is not None:
                raise ValueError("one exec to a connection, and none while the supervisor is ending")
            stdin, stdout, stderr = descriptors
            child = Exec(message, (stdin, stdout, stderr))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        client.exec = child
        self._adopt(child, lambda: self._answer(client, {"pid": child.pid}))

    def _wait(self, client: Client, message: dict[str, Any]) -> None:
        if message["id"] in self._mains:
            self._waiting.setdefault(message["id"], []).append(client)
        else:
            self._answer(client, {})

    def _subscribe(self, client: Client, message: dict[str, Any]) -> None:  # noqa: ARG002 - every operation's shape
        self._subscribers.add(client)
        self._answer(client, {"pid": os.getpid()})

    # Children

    def _adopt(self, child: Child, executed: Callable[[], None]) -> None:
        self._children[child.pid] = child
        self._childless = False

        def report() -> None:
            if child.settle():
                self._selector.unregister(child.report)
                if child.failure is None:
                    executed()

        self._selector.register(child.report, selectors.EVENT_READ, report)

    def _tell_started(self, main: Main) -> None:
        client = self._starters.pop(main, None)
        if client is None:
            return
        if main.failure is not None and main.failure.setup:
            self._answer(client, {"error": main.failure.text})
        else:
            self._answer(client, {"pid": main.pid})

    def _copy_output(self, main: Main) -> None:
        if not main.copy_output():
            self._selector.unregister(main.output)

    def _reap(self) -> None:
        """Each end is dealt with before its process is reaped: of none that is gone is the record missing."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self._childless = True
                self._busy_at = time.monotonic()
                return
            if ended is None:
                return
            child = self._children.pop(ended.si_pid, None)
            by_signal = ended.si_code != os.CLD_EXITED
            code = 128 + ended.si_status if by_signal else ended.si_status
            if child is not None:
                self._forget(child)
            if isinstance(child, Main):
                self._end_main(child, code, ended.si_status if by_signal else None)
            elif isinstance(child, Exec):
                self._end_exec(child, code)
            os.waitpid(ended.si_pid, 0)

    def _forget(self, child: Child) -> None:
        watched = [] if child.settled else [child.report]
        if isinstance(child, Main):
            watched.append(child.output)
        for descriptor in watched:
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)

    def _end_main(self, main: Main, code: int, by_signal: int | None) -> None:
        try:
            main.finish(code, by_signal)
        except OSError as exc:  # its folder was removed by hand
            print(f"{main.id}: its exit cannot be recorded: {exc}", flush=True)
        del self._mains[main.id]
        self._tell_started(main)
        for client in self._waiting.pop(main.id, ()):
            self._answer(client, {})
        if main.failure is not None and main.failure.setup:
            return  # it never ran, and its starter knows: an event would have it tried again at once
        for client in list(self._subscribers):
            self._answer(client, {"event": "exit", "id": main.id})

    def _end_exec(self, child: Exec, code: int) -> None:
        outcome = child.outcome(code)
        for client in list(self._clients):
            if client.exec is child:
                client.exec = None
                self._answer(client, outcome)
                self._drop(client)
