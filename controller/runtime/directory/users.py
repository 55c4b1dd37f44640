"""That the user which an instance's record names is its own still, and another where it is not."""

from __future__ import annotations

import os
from dataclasses import replace

import structlog

from controller.model.errors import RuntimeFailure, StateError
from controller.runtime.directory.inventory import Entry
from controller.runtime.directory.record import TMP_FOLDER, translated, write_record
from controller.runtime.directory.uids import HostUids
from controller.runtime.ownership import hand_over
from controller.runtime.workspace import WorkspaceFolder

log = structlog.get_logger(__name__)


class Users:
    """Where the controller is root. Another sandbox may have taken the user while no claim on it was to be seen: after
    a reboot, or while the state folder was not mounted; and a record made by an ordinary user's daemon names none.
    """

    def __init__(self, uids: HostUids, workspaces: WorkspaceFolder) -> None:
        self._uids = uids
        self._workspaces = workspaces

    def has(self, entry: Entry) -> bool:
        """Whether the user is the instance's own, by a claim that is there from now on. Raises RuntimeFailure."""
        if os.geteuid() != 0:
            return True
        record = entry.record
        return record.host_uid is not None and self._uids.renew(record.host_uid, record.owner.uid)

    def settle(self, entry: Entry) -> Entry:
        """The instance with a user of its own, who has its folders: a new user gets them as they are, and what somebody
        removed is made again, empty. It must be down. Raises RuntimeFailure.
        """
        if self.has(entry):
            self._have_folders(entry, entry.record.host_uid)
            return entry
        uid = entry.record.owner.uid
        try:
            host_uid = self._uids.allocate(uid)
            record = replace(entry.record, host_uid=host_uid)
            self._have_folders(entry, host_uid)
            write_record(entry.folder, record)
        finally:
            self._uids.release(uid)
        log.warning("user_changed", id=entry.id, former=entry.record.host_uid, user=host_uid)
        return replace(entry, record=record)

    def give_back(self, entry: Entry) -> None:
        """Its user has its folders again: a container of the sandbox may have had them since, and failed. Raises
        RuntimeFailure.
        """
        if self.has(entry):
            self._have_folders(entry, entry.record.host_uid)

    def _have_folders(self, entry: Entry, host_uid: int | None) -> None:
        owner = (os.geteuid(), os.getegid()) if host_uid is None else (host_uid, host_uid)
        tmp = entry.folder / TMP_FOLDER
        try:
            self._workspaces.ensure(entry.record.owner.uid, *owner)
            tmp.mkdir(mode=0o700, exist_ok=True)
            if host_uid is not None:
                hand_over(str(tmp), *owner)
        except StateError as exc:
            raise RuntimeFailure(str(exc)) from exc
        except OSError as exc:
            raise translated(exc, f"cannot give {entry.folder} to its user") from exc
