"""Forking a child and making it what a sandbox's process has to be, before its command is executed.

Between fork and exec everything happens in the child of a process with one thread, so that Python may run there.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from controller.runtime.directory.supervisor.view import View, check, enter, libc

CANNOT_EXECUTE: Final = 126
NOT_FOUND: Final = 127

_PR_CAPBSET_DROP: Final = 24
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38

_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)
_COMMANDS_FAULT: Final = (
    *_ABSENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOEXEC,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.E2BIG,
)

_USUAL_OPEN_FILES: Final = 1024  # the kernel's own soft limit; the supervisor has raised its own


class Launch(NamedTuple):
    """What to run and as what. uid None: as the supervisor's own user. `join` are files to write `0` to.

    `view` is what it sees of the machine's folders; None: what the supervisor sees. `home` is where `cwd` may be made.
    """

    argv: list[str]
    env: dict[str, str]
    cwd: str
    home: str
    uid: int | None = None
    open_files: int | None = None
    processes: int | None = None
    join: list[str] = []  # noqa: RUF012 - never changed
    view: Mapping[str, Any] | None = None


class Failure(NamedTuple):
    """Why a child did not come to run its command. `setup`: not the command's fault, trying again makes sense."""

    setup: bool
    code: int
    text: str


def raise_descriptor_limit() -> None:
    """Have as many descriptors as we may: each sandbox takes one, each exec three for a moment."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def become_subreaper() -> None:
    """Adopt every descendant whose parent ends. Raises OSError."""
    check(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def spawn(launch: Launch, stdio: tuple[int, int, int]) -> tuple[int, int]:
    """Fork; the child's pid, and a descriptor that ends without a byte once the command is executed.

    Otherwise it gives what `failure_from` reads. Raises OSError where there can be no child.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        _become(launch, stdio, writer)
    os.close(writer)
    return pid, reader


def failure_from(content: bytes) -> Failure | None:
    """What a child said before it ended; None where its command was executed."""
    if not content:
        return None
    said: dict[str, Any] = json.loads(content)
    return Failure(**said)


def _become(launch: Launch, stdio: tuple[int, int, int], report: int) -> None:
    """Never returns."""
    failure = Failure(True, CANNOT_EXECUTE, "cannot be started")
    try:
        _set_up(launch, stdio, report)
        failure = Failure(False, CANNOT_EXECUTE, "cannot be executed")
        os.execvpe(launch.argv[0], launch.argv, launch.env)
    except OSError as exc:
        where = f" ({exc.filename})" if failure.setup and exc.filename else ""
        setup = failure.setup or exc.errno not in _COMMANDS_FAULT
        code = CANNOT_EXECUTE if setup or exc.errno not in _ABSENT else NOT_FOUND
        failure = Failure(setup, code, f"{exc.strerror}{where}")
    except (ValueError, OverflowError) as exc:  # a zero byte in an argument, a limit beyond the kernel's
        failure = failure._replace(text=str(exc))
    finally:
        os.write(report, json.dumps(failure._asdict()).encode())
        os._exit(failure.code)


def _set_up(launch: Launch, stdio: tuple[int, int, int], report: int) -> None:
    """The order matters: what needs root comes before the change of user, what needs descriptors before their limit."""
    os.setsid()
    _restore_signals()
    for file in launch.join:
        _join(file)
    if launch.view is not None:
        enter(View(**launch.view))
    for target, source in enumerate(stdio):
        os.dup2(source, target)
    os.closerange(3, report)
    os.closerange(report + 1, os.sysconf("SC_OPEN_MAX"))
    _limit(launch)
    os.umask(0o077)
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if launch.uid is not None:
        _drop_bounding_set()
        os.setgroups([])
        os.setresgid(launch.uid, launch.uid, launch.uid)
        os.setresuid(launch.uid, launch.uid, launch.uid)
    if launch.cwd != launch.home:
        os.makedirs(launch.cwd, exist_ok=True)
    os.chdir(launch.cwd)


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _join(file: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"0")
    finally:
        os.close(descriptor)


def _limit(launch: Launch) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if launch.open_files is None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft = _USUAL_OPEN_FILES if hard == resource.RLIM_INFINITY else min(_USUAL_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    else:
        _limit_one(resource.RLIMIT_NOFILE, launch.open_files)
    if launch.processes is not None:
        _limit_one(resource.RLIMIT_NPROC, launch.processes)


def _limit_one(which: int, wanted: int) -> None:
    """Soft and hard; no higher than our own hard one where we may not raise that."""
    try:
        resource.setrlimit(which, (wanted, wanted))
    except (OSError, ValueError):
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (hard, hard))


def _drop_bounding_set() -> None:
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            if ctypes.get_errno() == errno.EINVAL:
                return  # past the kernel's last capability
            check(-1)
