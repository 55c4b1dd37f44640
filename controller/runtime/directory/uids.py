"""A host user of its own for each sandbox, where the controller is root; no other sandbox of the machine has it."""

from __future__ import annotations

import grp
import hashlib
import pwd
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from controller.model.errors import RuntimeFailure
from controller.runtime.directory.claims import UidClaims
from controller.runtime.directory.config import DirectoryConfig
from controller.runtime.directory.inventory import Inventory

log = structlog.get_logger(__name__)

_SUBORDINATE: Final = (Path("/etc/subuid"), Path("/etc/subgid"))
_IDS_OF_PROCESS: Final = re.compile(rb"^[UG]id:(.*)$", re.MULTILINE)


class HostUids:
    """Picks from the configured range what no sandbox, no file of one, no process and no account of the machine has.

    Daemons with other state folders pick from the same range: each uid is claimed before it is used. Each sandbox has
    it begin at another place, so that daemons seldom meet, and what a deleted sandbox left on the machine seldom
    becomes another's.
    """

    def __init__(self, config: DirectoryConfig, inventory: Inventory) -> None:
        self._config = config
        self._inventory = inventory
        self._claims = UidClaims(config.claims_dir, config.state_dir)
        self._lock = threading.Lock()
        self._given: dict[str, int] = {}

    def allocate(self, uid: str) -> int:
        """The host uid (and gid) of a sandbox by its uid: the one it has in its other slot or its workspace's owner.

        Raises RuntimeFailure where the range is used up, or no claim can be made.
        """
        with self._lock:
            given = self._kept(uid)
            if given is None:
                given = self._first_free(uid)
            self._given[uid] = given
            return given

    def release(self, uid: str) -> None:
        """The sandbox's record holds it by now, or was never made."""
        with self._lock:
            self._given.pop(uid, None)

    def renew(self, host_uid: int, uid: str) -> bool:
        """Have the claim of a sandbox that is there already; False where another has taken that user meanwhile."""
        return self._claims.take(host_uid, uid)

    def has(self, host_uid: int | None, uid: str) -> bool:
        """Whether every process of that user is this sandbox's; never so of the controller's own user (None)."""
        return host_uid is not None and self._claims.is_ours(host_uid, uid)

    def tidy(self) -> None:
        """Give up the claims that nothing needs any more."""
        with self._lock:
            try:
                self._claims.release({*self._holders(), *self._given.values(), *self._owners_of_files()})
            except RuntimeFailure as exc:
                log.warning("claims_not_released", error=str(exc))

    def _kept(self, uid: str) -> int | None:
        """The one that it has, or its workspace's owner, where it can be claimed."""
        holders = self._holders() | {host_uid: holder for holder, host_uid in self._given.items()}
        candidates = [host_uid for host_uid, holder in holders.items() if holder == uid]
        owner = _owner(self._config.state_dir / "workspaces" / uid)
        in_range = owner is not None and self._config.first_uid <= owner <= self._config.last_uid
        if owner is not None and in_range and owner not in holders:
            candidates.append(owner)
        return next((candidate for candidate in candidates if self._claims.take(candidate, uid)), None)

    def _holders(self) -> dict[int, str]:
        """The sandbox by host uid."""
        records = [entry.record for entry in self._inventory.entries()]
        return {record.host_uid: record.owner.uid for record in records if record.host_uid is not None}

    def _first_free(self, uid: str) -> int:
        first, count = self._config.first_uid, self._config.last_uid - self._config.first_uid + 1
        offset = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:4]) % count
        taken = {*self._holders(), *self._given.values(), *self._owners_of_files(), *_accounts(), *_running()}
        others = list(_subordinate_ranges())
        for step in range(count):
            host_uid = first + (offset + step) % count
            is_free = host_uid not in taken and not any(host_uid in span for span in others)
            if is_free and self._claims.take(host_uid, uid):
                return host_uid
        raise RuntimeFailure(f"no host uid is left from {first} to {self._config.last_uid}: delete sandboxes")

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


def _running() -> Iterator[int]:
    """Every id that some process of the machine has: what was started by hand, or left by a daemon that is gone."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            content = status.read_bytes()
        except OSError:
            continue
        for ids in _IDS_OF_PROCESS.findall(content):
            yield from map(int, ids.split())


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
