"""A tree of packages put into a virtual environment: no copy where nobody but us can write the file."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Final

from controller.runtime.packages.scripts import BESIDE, with_python
from controller.runtime.packages.store import files_in
from controller.runtime.packages.wheels import DATA, LIB, SCRIPTS

# Another file system; a file with as many links as can be; a file system without links, or one that forbids them.
_NO_LINK: Final = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})
_FOREIGN_WRITE: Final = 0o022


def install(tree: Path, venv: Path, may_link: bool) -> None:
    """Put all of a tree into an environment. `may_link`: its user is another than ours, so that a link is safe.

    Raises OSError.
    """
    (site,) = venv.glob("lib/python*/site-packages")
    _place_all(tree / LIB, site, may_link)
    _place_all(tree / DATA, venv, may_link)
    for path, entry in files_in(tree / SCRIPTS):
        target = venv / "bin" / path
        _have_folder(target.parent)
        script = Path(entry.path).read_bytes()
        changed = with_python(script, BESIDE)
        if changed == script:
            _place(entry, target, may_link)
            continue
        target.unlink(missing_ok=True)  # it may be a link to the interpreter
        target.write_bytes(changed)
        target.chmod(0o755)


def _place_all(source: Path, target: Path, may_link: bool) -> None:
    made = {target}
    for path, entry in files_in(source):
        place = target / path
        if place.parent not in made:
            _have_folder(place.parent)
            made.add(place.parent)
        _place(entry, place, may_link)


def _have_folder(folder: Path) -> None:
    """Readable for the sandbox's user, whatever the daemon's umask."""
    if folder.is_dir():
        return
    _have_folder(folder.parent)
    folder.mkdir()
    folder.chmod(0o755)


def _place(entry: os.DirEntry[str], place: Path, may_link: bool) -> None:
    if place.is_symlink() or place.exists():
        place.unlink()
    if entry.is_symlink():
        place.symlink_to(Path(entry.path).readlink())
        return
    if may_link and not entry.stat().st_mode & _FOREIGN_WRITE:
        try:
            os.link(entry.path, place)
        except OSError as exc:
            if exc.errno not in _NO_LINK:
                raise
        else:
            return
    shutil.copy(entry.path, place)
