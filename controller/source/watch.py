"""Watching the folder through watchdog. Events only leave marks in the inbox; what they mean is decided by looking."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import structlog
from watchdog import events
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from controller.source.inbox import Inbox
from controller.source.listing import RootIdentity, is_hidden, is_manifest
from controller.source.watched_skills import WatchedSkills

log = structlog.get_logger(__name__)

_LIMIT_HINTS: Final = {
    errno.ENOSPC: "raise it with sysctl fs.inotify.max_user_watches=524288",
    errno.EMFILE: "raise it with sysctl fs.inotify.max_user_instances=512",
}
_SWAPPED_LINK: Final = "..data"
"""The name that Kubernetes renames over to swap all files of a volume at once."""


class Handler(events.FileSystemEventHandler):
    """Turns watchdog's events into marks. Reading a file (`opened`, `closed_no_write`) must leave none."""

    def __init__(self, root: str, inbox: Inbox, skills: WatchedSkills) -> None:
        self._root = root
        self._inbox = inbox
        self._skills = skills

    def dispatch(self, event: events.FileSystemEvent) -> None:
        """Never raises: an exception would end watchdog's thread in silence."""
        try:
            self._take(event)
        except Exception:
            log.exception("watch_event_failed", event_type=event.event_type)
            self._inbox.changed()

    def _take(self, event: events.FileSystemEvent) -> None:
        if isinstance(event, events.DirModifiedEvent | events.FileClosedNoWriteEvent):
            return
        if self._skills.has_changed(event):
            self._inbox.changed()
        name = self._name(event.src_path)
        if isinstance(event, events.FileSystemMovedEvent):
            self._moved(event, name, self._name(event.dest_path))
        elif name is None and isinstance(event, events.DirDeletedEvent):
            self._inbox.root_gone()
        elif _is_swap(name):
            self._inbox.links_swapped()
        elif name is None or not _is_visible(name):
            return
        elif event.is_directory:
            self._inbox.changed()
        elif is_manifest(name):
            self._manifest(event, name)
        elif isinstance(event, events.FileCreatedEvent):
            self._appeared(event.src_path)

    def _manifest(self, event: events.FileSystemEvent, name: str) -> None:
        match event:
            case events.FileClosedEvent():
                self._inbox.complete(name)
            case events.FileCreatedEvent():
                self._inbox.created(name)
            case events.FileOpenedEvent():
                self._inbox.opened(name)
            case events.FileModifiedEvent():
                self._inbox.written(name)
            case _:
                self._inbox.changed()

    def _moved(self, event: events.FileSystemMovedEvent, source: str | None, target: str | None) -> None:
        if _is_swap(target):
            self._inbox.links_swapped()
            return
        if event.is_directory or (source is not None and is_manifest(source)):
            self._inbox.changed()
        if event.is_directory or target is None or not _is_visible(target):
            return
        if is_manifest(target):
            self._inbox.complete(target)
        else:
            self._appeared(event.dest_path)

    def _appeared(self, path: str | bytes) -> None:
        """A link to a folder appears as a file of any name, and may bring manifests with it."""
        if Path(os.fsdecode(path)).is_dir():
            self._inbox.links_swapped()

    def _name(self, path: str | bytes) -> str | None:
        """The path relative to the root, None for the root itself and for anything outside."""
        text = os.fsdecode(path)
        return text[len(self._root) + 1 :] if text.startswith(f"{self._root}/") else None


def _is_swap(name: str | None) -> bool:
    return name is not None and name.rpartition("/")[2] == _SWAPPED_LINK


def _is_visible(name: str) -> bool:
    return not any(is_hidden(part) for part in name.split("/"))


class FolderWatch:
    """One observer over the root, begun anew whenever another folder stands there. `problem` says what it cannot do."""

    def __init__(self, inbox: Inbox, make_observer: Callable[[], BaseObserver] = Observer) -> None:
        self.problem = ""
        self.hint = ""
        self._told = ""
        self._inbox = inbox
        self._make_observer = make_observer
        self._skills = WatchedSkills()
        self._outside: dict[str, ObservedWatch] = {}
        self._root = ""
        self._observer: BaseObserver | None = None
        self._watched: RootIdentity | None = None

    def covers(self, identity: RootIdentity | None) -> bool:
        """Whether that folder is watched and every thread of the watch lives."""
        observer = self._observer
        if observer is None or identity is None or identity != self._watched:
            return False
        return observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)

    def begin(self, root: Path, identity: RootIdentity) -> None:
        """Watch the root and all below it. What goes wrong is told in `problem`, never raised."""
        self.end()
        try:
            observer = self._make_observer()
        except OSError as exc:
            self._failed(exc)
            return
        try:
            # A folder that watchdog meets twice while it is made is harmless, and its warning long.
            warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
            self._root = real = os.path.realpath(root)
            observer.schedule(Handler(real, self._inbox, self._skills), real, recursive=True)
            observer.start()
        except OSError as exc:
            observer.stop()
            self._failed(exc)
            return
        self._observer, self._watched = observer, identity
        self.check_limits()

    def follow(self, skills: Collection[str]) -> None:
        """Watch the skills at these real paths from now on, also those outside of the root."""
        self._skills.paths = frozenset(skills)
        if self._observer is None:
            return
        places = {self._place_of(path) for path in skills if not path.startswith(f"{self._root}/")}
        for place in self._outside.keys() - places:
            self._observer.unschedule(self._outside.pop(place))
        for place in sorted(places - self._outside.keys()):
            if not Path(place).is_dir():
                continue  # looked for until it is there
            handler = Handler(place, self._inbox, self._skills)
            try:
                self._outside[place] = self._observer.schedule(handler, place, recursive=place in skills)
            except OSError as exc:
                self._failed(exc)

    def _place_of(self, skill: str) -> str:
        return str(Path(skill).parent) if Path(skill).is_file() else skill

    def check_limits(self) -> None:
        """Find out whether one more folder could be watched: watchdog passes over the folders that it cannot."""
        if self._observer is None:
            return
        try:
            self._observer.unschedule(self._observer.schedule(events.FileSystemEventHandler(), "/"))
        except OSError as exc:
            self._failed(exc)
        else:
            self.problem = self.hint = self._told = ""

    def end(self) -> None:
        """Stop watching."""
        observer, self._observer, self._watched = self._observer, None, None
        self._outside.clear()
        if observer is not None:
            observer.stop()
            observer.join()

    def _failed(self, exc: OSError) -> None:
        self.problem = f"changes cannot be watched: {exc.strerror}"
        self.hint = _LIMIT_HINTS.get(exc.errno or 0, "check the folder's permissions")
        if self.problem != self._told:
            self._told = self.problem
            log.warning("watch_limited", error=exc.strerror, advice=self.hint)
