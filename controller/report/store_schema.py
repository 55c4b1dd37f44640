"""The state store's file: opened, checked, brought to the present schema, or set aside where it is damaged."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from controller.model.errors import StateError
from controller.report.files import set_aside

_V1: Final = """
CREATE TABLE sandboxes (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    uid TEXT NOT NULL, record TEXT NOT NULL, status TEXT,
    PRIMARY KEY (kind, namespace, name));
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    type TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
    first REAL NOT NULL, at REAL NOT NULL, count INTEGER NOT NULL);
CREATE INDEX events_of_key ON events (kind, namespace, name, at);
CREATE TABLE terminations (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    uid TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX terminations_of_key ON terminations (kind, namespace, name);
"""

MIGRATIONS: Final = (_V1,)
"""MIGRATIONS[n] brings schema n to n + 1. Never changed once released; a new version appends."""

_DAMAGE: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "no space is left; free some, what was not stored will be stored at its next change",
    sqlite3.SQLITE_READONLY: "it is read-only; make its file system and folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; see that its folder exists and is writable for this user",
    sqlite3.SQLITE_CORRUPT: "it is damaged; restart the daemon, which sets it aside and rebuilds it",
    sqlite3.SQLITE_NOTADB: "it is damaged; restart the daemon, which sets it aside and rebuilds it",
    sqlite3.SQLITE_BUSY: "another process has locked it; end that process",
    sqlite3.SQLITE_IOERR: "reading or writing failed; check the disk",
}
_ADVICE_BY_ERRNO: Final = {
    errno.ENOSPC: _ADVICE[sqlite3.SQLITE_FULL],
    errno.EDQUOT: _ADVICE[sqlite3.SQLITE_FULL],
    errno.EROFS: _ADVICE[sqlite3.SQLITE_READONLY],
    errno.ENOENT: _ADVICE[sqlite3.SQLITE_CANTOPEN],
    errno.EACCES: _ADVICE[sqlite3.SQLITE_CANTOPEN],
}


def open_database(path: Path, now: float) -> tuple[sqlite3.Connection, str]:
    """A connection for any thread, and why the store began empty where a damaged file was set aside, else "".

    Raises sqlite3.Error, OSError, or StateError where a newer version wrote the file.
    """
    try:
        return _open(path), ""
    except sqlite3.DatabaseError as exc:
        if not _is_damage(exc):
            raise
        aside = set_aside(path, now, ("-wal", "-shm"))
        return _open(
            path
        ), f"{path.name} was damaged ({exc}) and is now {aside.name}; restart counts and events are lost"


def advice(path: Path, error: sqlite3.Error | OSError) -> str:
    """What went wrong with the file, and what to do about it."""
    if isinstance(error, OSError):
        what = _ADVICE_BY_ERRNO.get(error.errno or 0, "reading or writing failed")
    else:
        what = _ADVICE.get(_primary_code(error), "the database refused")
    return f"state store {path}: {what} ({error})"


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has already rolled back by itself on a full disk
            connection.execute("ROLLBACK")
        raise


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _open_locked(path, "NORMAL")
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_IOERR_SHMSIZE:
            raise
        return _open_locked(path, "EXCLUSIVE")  # a full disk has no room for -shm; so locked, SQLite needs none


def _open_locked(path: Path, locking_mode: str) -> sqlite3.Connection:
    os.close(
        os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    )  # manifests' env values are in it; -wal and -shm inherit this
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA locking_mode = {locking_mode}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {4 << 20}")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _damaged(verdict)
        _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StateError(
            f"state store {path} has schema {version}, this version knows {len(MIGRATIONS)}: run the version that wrote"
            " it, or move it away (restart counts and events are lost with it)"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        with transaction(connection):
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


def _damaged(verdict: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_damage(error: sqlite3.Error) -> bool:
    return _primary_code(error) in _DAMAGE


def _primary_code(error: sqlite3.Error) -> int:
    """The low byte; the rest of an extended code only refines it. 0 where the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
