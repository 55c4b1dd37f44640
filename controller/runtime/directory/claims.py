"""Whose each host uid is, over every daemon of the machine: `<folder>/<host uid>`, a symlink to a workspace.

A symlink is made whole or not at all, and `ls -l` shows who has what. It is only ever read, never followed. The folder
is root's own and lies where a reboot empties it: no process has a user of ours after that either.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from controller.runtime.directory.record import translated


class UidClaims:
    """The claims of one state folder among those of all. Callable from any thread and any process."""

    def __init__(self, folder: Path, state_dir: Path) -> None:
        self._folder = folder
        self._workspaces = state_dir.resolve() / "workspaces"

    def take(self, host_uid: int, uid: str) -> bool:
        """Claim a host uid for a sandbox; False where it is another's, here or in another state folder that exists.

        Raises RuntimeFailure, DiskFullError where no claim can be made.
        """
        claim, wanted = self._folder / str(host_uid), self._workspaces / uid
        with self._alone():
            held = _target(claim)
            if held == wanted:
                return True
            if held is not None and not _is_forsaken(held):
                return False
            try:
                claim.unlink(missing_ok=True)
                claim.symlink_to(wanted)
            except OSError as exc:
                raise translated(exc, f"cannot claim the user {host_uid} in {self._folder}") from exc
            return True

    def is_ours(self, host_uid: int, uid: str) -> bool:
        """Whether this sandbox has the claim: then every process of that user is its own."""
        return _target(self._folder / str(host_uid)) == self._workspaces / uid

    def release(self, keep: Collection[int]) -> None:
        """Give up this state folder's claims but these, and those of state folders that are gone.

        Raises RuntimeFailure where there can be no claims.
        """
        with self._alone():
            for claim in self._folder.iterdir():
                held = _target(claim)
                if held is None or not claim.name.isdigit():
                    continue
                unused = held.parent == self._workspaces and int(claim.name) not in keep
                if unused or _is_forsaken(held):
                    claim.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other daemon changes claims meanwhile: who reclaims a forsaken one must not remove one just made."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as exc:
            raise translated(exc, f"cannot use {self._folder}, where sandboxes' users are claimed") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _target(claim: Path) -> Path | None:
    try:
        return claim.readlink()
    except OSError:
        return None


def _is_forsaken(workspace: Path) -> bool:
    """Whether the state folder that a claim is of does not exist any more."""
    return not workspace.parents[1].exists()
