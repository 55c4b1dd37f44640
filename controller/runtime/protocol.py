"""The seam between the loop and whatever makes a sandbox real."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller.model.identity import Key, Owner
from controller.model.observed import Capabilities, ContractRow, Observed, Usage
from controller.model.spec import Desired, Limits, SandboxSpec


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A command to run inside. `timeout` in seconds kills its whole process tree; `stdin` is fed, then closed."""

    command: tuple[str, ...]
    stdin: bytes = b""
    timeout: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""


class ExecSession(Protocol):
    """A running exec."""

    def output(self) -> Iterator[tuple[str, bytes]]:
        """Chunks as ("stdout" or "stderr", bytes), as they come, until the command's end."""

    def exit_code(self) -> int:
        """The exit status, once `output` is exhausted; 128 + n for signal n, 124 where the timeout killed it."""

    def close(self) -> None:
        """End it: kills the process tree if it still runs. Idempotent."""


class LogStream(Protocol):
    """Output of a sandbox's main process."""

    def __iter__(self) -> Iterator[bytes]:
        """Chunks, oldest first; where following, until `close` or the sandbox's removal."""

    def close(self) -> None:
        """Stop following. Callable from another thread; idempotent."""


class RuntimeReader(Protocol):
    """What `plan` is given: it can only look."""

    @property
    def name(self) -> str:
        """`docker` or `directory`; the label of operations and metrics."""

    def capabilities(self) -> Capabilities:
        """What it can do now; `available` False (never an exception) where it cannot be reached. Cheap: cached."""

    def list(self) -> Sequence[Observed]:
        """Every instance of ours, in one engine call. Fields that one call cannot give (limits) may be stale."""

    def inspect(self, key: Key) -> tuple[Observed, ...]:
        """The live instances of one key (none, one, or both slots). An impostor without our label is not among them.

        Raises EngineUnavailableError, EngineTimeoutError or RuntimeFailure; an empty answer is a confirmed absence.
        """


class Runtime(RuntimeReader, Protocol):
    """Makes, changes and measures instances. Every mutation goes by id and checks the instance label first.

    All methods raise RuntimeFailure's subclasses; ConflictError means look again. Mutations are idempotent:
    starting what runs, stopping what stands or removing what is gone succeeds.
    """

    def prepare(self, desired: Desired) -> None:
        """Have what a create needs that is slow or can fail without harm: image, network, environment.

        Raises PreparingError while that is under way, and then wakes the key at its end: to be called again.
        """

    def forgo(self, key: Key) -> None:
        """What is being prepared for a key is not wanted any more. Idempotent, and raises nothing."""

    def create(self, desired: Desired, owner: Owner) -> str:
        """Create, not start; the new instance's id. Raises ConflictError where the name is taken: look again."""

    def start(self, target: str) -> None:
        """Start an instance that was created or has ended."""

    def stop(self, target: str, grace: float) -> None:
        """SIGTERM, after `grace` seconds SIGKILL to all of it; returns when it is down. Works on a paused one."""

    def kill(self, target: str) -> None:
        """SIGKILL to all of it."""

    def pause(self, target: str) -> None:
        """Freeze every process."""

    def unpause(self, target: str) -> None:
        """Thaw."""

    def update(self, target: str, limits: Limits) -> None:
        """Put memory, cpu and pids in force in place. Raises ResizePendingError below present usage: no change."""

    def remove(self, target: str) -> None:
        """Remove the instance with every process of it; the workspace stays."""

    def exec(self, target: str, request: ExecRequest) -> ExecSession:
        """Run a command inside. Raises ConflictError where the instance does not run or is paused."""

    def logs(self, target: str, tail: int | None = None, follow: bool = False) -> LogStream:
        """The main process's output, stdout and stderr interleaved; `tail` counts lines."""

    def usage(self, instances: Sequence[Observed]) -> Mapping[str, Usage]:
        """A measurement of each running instance by id, without an engine call or a disk walk for any of them.

        One that cannot be measured now is left out.
        """

    def contract(self, instance: Observed, spec: SandboxSpec) -> tuple[ContractRow, ...]:
        """The enforcement contract, read back from the live cgroup, inspect or /proc."""

    def watch(self, wake: Callable[[Key | None], None]) -> None:
        """Begin to call `wake` with the key of every instance that something happened to; None: anything may have."""

    def collect_garbage(self, wanted: Callable[[Key], bool]) -> None:
        """Remove what only shared things leave behind (networks without a sandbox); never an instance."""

    def close(self) -> None:
        """Release threads, sockets and descriptors; sandboxes go on."""


@dataclass(frozen=True, slots=True)
class TrashedWorkspace:
    """A deleted sandbox's workspace, trashed at `trashed_at` (epoch seconds). `document` is its last manifest."""

    uid: str
    key: Key
    trashed_at: float
    document: Mapping[str, object]


class Workspaces(Protocol):
    """The workspaces, `<state-dir>/workspaces/<uid>/`: one path for every runtime, and never a name in it.

    Raises StateError (DiskFullError where no space is left).
    """

    def path(self, uid: str) -> str:
        """The absolute path; it need not exist."""

    def trash(self, uid: str, key: Key, document: Mapping[str, object]) -> None:
        """Move it to `<state-dir>/trash/<uid>`. Idempotent: one that is gone succeeds."""

    def erase(self, uid: str) -> None:
        """Delete it for good. Idempotent."""

    def trashed(self) -> Sequence[TrashedWorkspace]:
        """What is in the trash, newest first."""

    def restore(self, uid: str, instead_of: str = "") -> None:
        """Move it back from the trash; the empty workspace `instead_of` goes for it. Idempotent: back is back.

        Raises StateError where it is in neither place, or where either folder that has to make room is not empty.
        """

    def is_empty(self, uid: str) -> bool:
        """True where it has no entries or does not exist."""

    def expire(self) -> None:
        """Delete what has been in the trash past its time."""
