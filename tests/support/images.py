"""The images that tests run, built offline from Debian's packages and cached as tar files, keyed by what made them.

`python -m tests.support.images` builds those that the cache lacks.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient

from tests.support import host

BUSYBOX = "busybox:latest"
PYTHON = "python:3.11-slim"
PATH_ENV = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImageError(RuntimeError):
    """An image cannot be built; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`key()` names all that the root file system is made from; `build(path)` writes it as a tar file."""

    key: Callable[[], bytes]
    build: Callable[[Path], None]
    command: str


def load(client: DockerClient, name: str) -> None:
    """Make the image present in the engine; builds its tar file where the cache has none."""
    if client.images.list(name):
        return
    repository, tag = name.split(":")
    changes = [f"ENV {PATH_ENV}", f'CMD ["{RECIPES[name].command}"]']
    client.api.import_image_from_file(str(rootfs(name)), repository=repository, tag=tag, changes=changes)


def rootfs(name: str) -> Path:
    """The tar file of the image's root file system."""
    recipe = RECIPES[name]
    key = hashlib.sha256(recipe.key()).hexdigest()[:16]
    target = cache_dir() / f"{name.replace(':', '_')}-{key}.tar"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        print(f"setup: building the image {name} into {target.parent}", flush=True)
        try:
            recipe.build(partial)
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/sandkeeper/images`, by default in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sandkeeper" / "images"


def _busybox() -> Path:
    found = host.find("busybox")
    if found is None:
        raise ImageError("busybox is not installed: run scripts/setup-tests.sh as root")
    return Path(found)


def _busybox_key() -> bytes:
    return _busybox().read_bytes() + Path(__file__).read_bytes()


def _build_busybox(target: Path) -> None:
    program = _busybox()
    applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    with tarfile.open(target, "w") as tar:
        for folder in ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "var"):
            _add(tar, folder, tarfile.DIRTYPE, mode=0o755)
        _add(tar, "tmp", tarfile.DIRTYPE, mode=0o1777)
        _add(tar, "usr/bin", tarfile.SYMTYPE, link="../bin")
        _add(tar, "bin/busybox", mode=0o755, content=program.read_bytes())
        for applet in sorted(set(applets) - {"busybox"}):
            _add(tar, f"bin/{applet}", tarfile.SYMTYPE, link="busybox")
        _add(tar, "etc/passwd", content=b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        _add(tar, "etc/group", content=b"root:x:0:\nnogroup:x:65534:\n")


def _add(
    tar: tarfile.TarFile,
    name: str,
    kind: bytes = tarfile.REGTYPE,
    *,
    mode: int = 0o644,
    content: bytes = b"",
    link: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), link
    tar.addfile(entry, io.BytesIO(content))


def _mmdebstrap(target: str) -> list[str]:
    if host.find("mmdebstrap") is None:
        raise ImageError("mmdebstrap is not installed: run scripts/setup-tests.sh as root")
    unread = ("doc", "man", "locale", "info")
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--include=python3",
        "--format=tar",
        *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in unread),
        "--customize-hook=ln -s ../../bin/python3 $1/usr/local/bin/python",
        platform.freedesktop_os_release().get("VERSION_CODENAME", "stable"),
        target,
    ]


def _python_key() -> bytes:
    candidate = host.run(["apt-cache", "show", "python3-minimal"]).stdout
    return " ".join([platform.machine(), *_mmdebstrap(""), candidate]).encode()


def _build_python(target: Path) -> None:
    done = host.run(_mmdebstrap(str(target)))
    if done.returncode != 0:
        raise ImageError(f"mmdebstrap exited with {done.returncode}:\n{done.stderr[-2000:]}")


RECIPES = {
    BUSYBOX: Recipe(_busybox_key, _build_busybox, "sh"),
    PYTHON: Recipe(_python_key, _build_python, "python3"),
}


def main() -> int:
    """Build the images where there can be an engine to run them; what cannot be built is said."""
    if os.geteuid() == 0 or os.environ.get("DOCKER_HOST"):
        for name in RECIPES:
            try:
                rootfs(name)
            except ImageError as error:
                print(f"setup: {name}: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
