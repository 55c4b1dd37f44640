"""Downloading what a lock names into one tree: `lib` (what is imported), `scripts` and `data`."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from controller.model.errors import EnvironmentFailedError
from controller.runtime.packages.lock import Lock, for_target
from controller.runtime.packages.uv import UvRunner

log = structlog.get_logger(__name__)

LIB: Final = "lib"
SCRIPTS: Final = "scripts"
DATA: Final = "data"

_INSTALLED: Final = ("site-packages", "dist-packages")
_HINT: Final = (
    "what is locked cannot be had: see that the package index can be reached, or lock other versions (edit "
    "spec.packages, or run sandkeeper image build --upgrade)"
)


def download(lock: Lock, content: Path, uv: UvRunner, job: Path) -> None:
    """Fill a tree. Raises EnvironmentFailedError, DiskFullError, ConflictError, OSError."""
    prefix = content / "prefix"
    if lock.packages:
        _install(lock, prefix, uv, job)
        altered = _altered(prefix)
        if altered:
            # uv trusts what it has unpacked once; what was changed there since is had anew.
            log.warning("package_cache_damaged", packages=sorted(altered))
            shutil.rmtree(prefix)
            uv.run(job, "cache", "clean", *altered)
            _install(lock, prefix, uv, job)
            if altered := _altered(prefix):
                raise EnvironmentFailedError(
                    f"{', '.join(altered)}: the files are not those that the wheel itself lists; use another version"
                )
    _sort(prefix, content)


def _install(lock: Lock, prefix: Path, uv: UvRunner, job: Path) -> None:
    locked = job / "locked.txt"
    locked.write_text(lock.text, "utf-8")
    options = ("--require-hashes", "--no-deps", "--prefix", str(prefix), "--requirement", str(locked))
    try:
        uv.run(job, "pip", "install", *for_target(lock.target), *options)
    except EnvironmentFailedError as exc:
        raise EnvironmentFailedError(f"{exc}: {_HINT}") from exc


def _altered(prefix: Path) -> list[str]:
    """The packages with a file that is not as the wheel's own list has it."""
    return [
        info.name.partition("-")[0]
        for place in _places(prefix)
        for info in place.glob("*.dist-info")
        if not all(_is_as_listed(place, row) for row in _rows(info / "RECORD"))
    ]


def _rows(record: Path) -> Iterator[list[str]]:
    with record.open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


def _is_as_listed(place: Path, row: list[str]) -> bool:
    """https://packaging.python.org/en/latest/specifications/recording-installed-packages/, RECORD"""
    path, hashed = row[0], row[1] if len(row) > 1 else ""
    name, _, expected = hashed.partition("=")
    if name != "sha256":
        return True  # the list itself, and what uv adds
    try:
        with (place / path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        return False
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == expected.rstrip("=")


def _places(prefix: Path) -> list[Path]:
    """Where an installation has put modules: the scheme is that of the Python that runs here."""
    depths = ("*", "*/*", "*/*/*")  # lib64, lib/python3.11, local/lib/python3.11
    found = (place for depth in depths for name in _INSTALLED for place in prefix.glob(f"{depth}/{name}"))
    return [place for place in found if place.is_dir() and not place.is_symlink()]


def _sort(prefix: Path, content: Path) -> None:
    for name in (LIB, SCRIPTS):
        (content / name).mkdir()
    prefix.mkdir(exist_ok=True)  # there is none where nothing had to be installed
    (prefix / ".lock").unlink(missing_ok=True)
    for place in _places(prefix):
        shutil.copytree(place, content / LIB, dirs_exist_ok=True, symlinks=True, copy_function=os.rename)
        shutil.rmtree(place)
    for scripts in prefix.glob("bin"):
        shutil.copytree(scripts, content / SCRIPTS, dirs_exist_ok=True, symlinks=True, copy_function=os.rename)
        shutil.rmtree(scripts)
    prefix.rename(content / DATA)
    for folder, _, files in os.walk(content):
        Path(folder).chmod(0o755)
        for path in (Path(folder, name) for name in files):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)
