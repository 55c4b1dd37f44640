"""A tree of packages as the tar file of an image layer. Everything in it is root's, and nothing is writable for others.

Packages lie in a folder of their own, before the image's own packages on Python's path: nothing of the image is
overwritten but scripts of the same name. The path is extended by a `.pth` file, which `python -I` and a manifest's
PYTHONPATH leave in force (https://docs.python.org/3/library/site.html).
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from controller.runtime.packages.scripts import run_by, with_python
from controller.runtime.packages.store import files_in
from controller.runtime.packages.target import PythonFacts
from controller.runtime.packages.wheels import DATA, LIB, SCRIPTS

PLACE: Final = "/opt/sandkeeper/packages"
LAYER_VERSION: Final = 1  # to be raised where images made by another version are to be made anew
_PATH_FILE: Final = "sandkeeper.pth"
# One line, as a `.pth` wants it: the folder's own .pth files are read too, then it is moved before the image's own.
_PATH_LINE: Final = (
    "import site, sys; known = len(sys.path); site.addsitedir({place!r}); added = sys.path[known:]; "
    "del sys.path[known:]; at = sys.path.index({purelib!r}) if {purelib!r} in sys.path else known; "
    "sys.path[at:at] = added\n"
)


def write_layer(tree: Path, facts: PythonFacts, file: BinaryIO, exists: Callable[[str], bool]) -> None:
    """Write the tar file. `exists` tells whether the image has a folder: one that it has is left as it is.

    Raises OSError, RuntimeFailure of `exists`.
    """
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        layer = _Layer(tar, exists)
        line = _PATH_LINE.format(place=PLACE, purelib=facts.purelib)
        layer.add(posixpath.join(facts.purelib, _PATH_FILE), line.encode(), 0o644)
        for path, entry in files_in(tree / LIB):
            layer.add_file(f"{PLACE}/{path}", entry)
        first_lines = run_by(facts.executable)
        for path, entry in files_in(tree / SCRIPTS):
            layer.add(
                posixpath.join(facts.scripts, path), with_python(Path(entry.path).read_bytes(), first_lines), 0o755
            )
        for path, entry in files_in(tree / DATA):
            layer.add_file(posixpath.join(facts.data, path), entry)


class _Layer:
    def __init__(self, tar: tarfile.TarFile, exists: Callable[[str], bool]) -> None:
        self._tar = tar
        self._exists = exists
        self._there = {"/"}

    def add(self, path: str, content: bytes, mode: int) -> None:
        """A file of that content."""
        self._have(posixpath.dirname(path))
        entry = _entry(path, mode)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))

    def add_file(self, path: str, source: os.DirEntry[str]) -> None:
        """A copy of a file or a link."""
        self._have(posixpath.dirname(path))
        status = source.stat(follow_symlinks=False)
        entry = _entry(path, 0o755 if status.st_mode & 0o111 else 0o644)
        if source.is_symlink():
            entry.type, entry.linkname = tarfile.SYMTYPE, str(Path(source.path).readlink())
            self._tar.addfile(entry)
            return
        entry.size = status.st_size
        with Path(source.path).open("rb") as content:
            self._tar.addfile(entry, content)

    def _have(self, folder: str) -> None:
        """With a mode said by us: the engine would make what is missing as it likes."""
        for path in reversed(list(_above(folder))):
            if path in self._there:
                continue
            self._there.add(path)
            if path.startswith(f"{PLACE}/") or not self._exists(path):
                entry = _entry(path, 0o755)
                entry.type = tarfile.DIRTYPE
                self._tar.addfile(entry)


def _above(folder: str) -> Iterator[str]:
    while folder not in ("/", ""):
        yield folder
        folder = posixpath.dirname(folder)


def _entry(path: str, mode: int) -> tarfile.TarInfo:
    """Without a time of its own, so that the same packages make the same layer."""
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.mode = mode
    return entry
