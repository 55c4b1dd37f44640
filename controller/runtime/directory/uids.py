"""A host user of its own for each sandbox, where the controller is root."""

from __future__ import annotations

import grp
import pwd
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from controller.model.errors import RuntimeFailure
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.inventory import Inventory

_SUBORDINATE: Final = (Path("/etc/subuid"), Path("/etc/subgid"))


class HostUids:
    """Picks from the configured range what no sandbox, no file of one and no account of the machine has."""

    def __init__(self, config: DirectoryConfig, inventory: Inventory) -> None:
        self._config = config
        self._inventory = inventory
        self._lock = threading.Lock()
        self._given: dict[str, int] = {}

    def allocate(self, uid: str) -> int:
        """The host uid (and gid) of a sandbox by its uid: the one it has in its other slot or its workspace's owner.

        Raises RuntimeFailure where the range is used up.
        """
        with self._lock:
            holders = {entry.record.host_uid: entry.record.owner.uid for entry in self._inventory.entries()}
            holders |= {host_uid: holder for holder, host_uid in self._given.items()}
            for host_uid, holder in holders.items():
                if holder == uid and host_uid is not None:
                    return host_uid
            owner = _owner(self._config.state_dir / "workspaces" / uid)
            if owner is None or not self._in_range(owner) or owner in holders:
                owner = self._first_free({held for held in holders if held is not None})
            self._given[uid] = owner
            return owner

    def release(self, uid: str) -> None:
        """The sandbox's record holds it by now, or was never made."""
        with self._lock:
            self._given.pop(uid, None)

    def _in_range(self, host_uid: int) -> bool:
        return self._config.first_uid <= host_uid <= self._config.last_uid

    def _first_free(self, held: set[int]) -> int:
        taken = held | set(self._owners_of_files()) | set(_accounts())
        others = list(_subordinate_ranges())
        for host_uid in range(self._config.first_uid, self._config.last_uid + 1):
            if host_uid not in taken and not any(host_uid in span for span in others):
                return host_uid
        raise RuntimeFailure(
            f"no host uid is left from {self._config.first_uid} to {self._config.last_uid}: delete sandboxes"
        )

    def _owners_of_files(self) -> Iterator[int]:
        """Whose files wait for a sandbox that has no folder now: one of these may come back."""
        state = self._config.state_dir
        for path in (*state.glob("workspaces/*"), *state.glob("trash/*/workspace")):
            owner = _owner(path)
            if owner is not None:
                yield owner


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _accounts() -> Iterator[int]:
    yield from (account.pw_uid for account in pwd.getpwall())
    yield from (group.gr_gid for group in grp.getgrall())


def _subordinate_ranges() -> Iterator[range]:
    """What users' own containers are mapped to (subuid(5): name:first:count)."""
    for path in _SUBORDINATE:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            _, _, span = line.partition(":")
            first, _, count = span.partition(":")
            if first.isdigit() and count.isdigit():
                yield range(int(first), int(first) + int(count))
