"""What the supervisor runs: the main processes of sandboxes, and execs."""

from __future__ import annotations

import os
import time
from typing import Any, Final

from controller.runtime.directory.atomic import forget_json, reserve_json, write_json, write_reserved_json
from controller.runtime.directory.supervisor.killing import kill_exec, kill_group, kill_sandbox
from controller.runtime.directory.supervisor.output import CappedLog
from controller.runtime.directory.supervisor.spawn import Failure, Launch, failure_from, spawn
from controller.runtime.directory.wire import EXIT_FILE, MAIN_LOG, RUN_FILE

_CHUNK: Final = 65536
_LAST_READS: Final = 64  # four times the largest pipe that a user may have
_TIMED_OUT: Final = 124
_SIGKILL: Final = 9


class Child:
    """A forked process. `report` gives why its command could not be executed and ends when it was.

    Its launch is not kept: secrets are in it.
    """

    def __init__(self, launch: Launch, stdio: tuple[int, int, int]) -> None:
        self.started_at = time.time()
        self.pid, self.report = spawn(launch, stdio)
        os.set_blocking(self.report, False)
        self.failure: Failure | None = None
        self.settled = False
        self._said = bytearray()

    def settle(self) -> bool:
        """Read the report; True once it is known whether the command was executed."""
        while not self.settled:
            try:
                data = os.read(self.report, _CHUNK)
            except BlockingIOError:
                return False
            self._said += data
            if not data:
                os.close(self.report)
                self.failure = failure_from(bytes(self._said))
                self.settled = True
        return True


class Main(Child):
    """The main process of a sandbox; its output goes to the log in the sandbox's folder."""

    def __init__(self, message: dict[str, Any], null: int, supervisor: str) -> None:
        """Raises OSError where it cannot be forked, or its run not recorded: then there is no process."""
        self.id: str = message["id"]
        self._folder: str = message["folder"]
        self._oom_file: str = message["oomFile"]
        self._ooms = self._count_ooms()
        launch = Launch(**message["launch"])
        self._group = os.path.dirname(launch.join[0]) if launch.join else ""
        reserve_json(f"{self._folder}/{EXIT_FILE}")
        try:
            self._begin(launch, null, supervisor)
        except OSError:
            forget_json(f"{self._folder}/{RUN_FILE}")
            raise
        self._log = CappedLog(f"{self._folder}/{MAIN_LOG}", message["logBytes"])

    def _begin(self, launch: Launch, null: int, supervisor: str) -> None:
        self.output, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.output, False)
        try:
            super().__init__(launch, (null, writer, writer))
        except BaseException:
            os.close(self.output)
            raise
        finally:
            os.close(writer)
        try:
            run = {"pid": self.pid, "startedAt": self.started_at, "supervisor": supervisor}
            write_json(f"{self._folder}/{RUN_FILE}", run, durable=False)
        except OSError:
            os.kill(self.pid, _SIGKILL)
            self.kill_rest()
            os.close(self.output)
            os.close(self.report)
            raise

    def copy_output(self) -> bool:
        """Copy some output to the log; False once there will be no more."""
        try:
            data = os.read(self.output, _CHUNK)
        except BlockingIOError:
            return True
        self._log.write(data)
        return bool(data)

    def kill_rest(self) -> None:
        """SIGKILL to everything that the main process leaves behind."""
        if self._group:
            kill_group(self._group)
        else:
            kill_sandbox(self.pid, self.id)

    def finish(self, code: int, signal: int | None) -> None:
        """Take what output is left and record the exit: to be called before the process is reaped."""
        self.settle()
        self.kill_rest()
        for _ in range(_LAST_READS):
            try:
                data = os.read(self.output, _CHUNK)
            except BlockingIOError:
                break
            self._log.write(data)
            if not data:
                break
        os.close(self.output)
        self._log.close()
        if self.failure is not None and self.failure.setup:
            forget_json(f"{self._folder}/{RUN_FILE}")
            return
        self._record(code, signal)

    def _record(self, code: int, signal: int | None) -> None:
        record = {
            "startedAt": self.started_at,
            "code": code,
            "signal": signal,
            "oomKilled": signal == _SIGKILL and self._count_ooms() > self._ooms,
            "finishedAt": time.time(),
            "engineRestarted": False,
            "error": self.failure.text if self.failure else "",
        }
        write_reserved_json(f"{self._folder}/{EXIT_FILE}", record)

    def _count_ooms(self) -> int:
        """The kernel's count of kills in its group; both memory.oom_control and memory.events name it oom_kill."""
        try:
            with open(self._oom_file, encoding="ascii") as file:
                return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except OSError:
            return 0


class Exec(Child):
    """A command run beside the main process, with descriptors of the daemon's as its stdio."""

    def __init__(self, message: dict[str, Any], stdio: tuple[int, int, int]) -> None:
        super().__init__(Launch(**message["launch"]), stdio)
        self.token: str = message["token"]
        timeout = message["timeout"]
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.timed_out = False

    def kill(self) -> None:
        """SIGKILL to its whole tree, also to what left its session."""
        kill_exec(self.pid, self.token)

    def expire(self) -> None:
        """Its time is up."""
        self.deadline = None
        self.timed_out = True
        self.kill()

    def outcome(self, code: int) -> dict[str, Any]:
        """What the daemon is told at its end."""
        self.settle()
        if self.failure is not None:
            return {"exitCode": self.failure.code, "error": self.failure.text, "setup": self.failure.setup}
        return {"exitCode": _TIMED_OUT if self.timed_out else code}
