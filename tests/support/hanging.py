"""A folder whose file system does not answer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hanging(folder: Path) -> Iterator[None]:
    """Every look into the folder waits, as below a network mount whose server is gone, until the end; needs root.

    It is a FUSE mount that nobody serves. Its end, or this process's, lets go of whoever waits.
    """
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    mount = ["mount", "-i", "-t", "fuse", "-o", options, "unserved", str(folder)]
    try:
        subprocess.run(mount, pass_fds=(device,), check=True)
        yield
    finally:
        os.close(device)
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
