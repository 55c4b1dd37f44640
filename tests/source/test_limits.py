"""Where inotify's limits are reached the folder is polled, which is told among the faults."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from tests.source.helpers import manifest
from tests.source.watched import watching

LIMITS = Path("/proc/sys/user/max_inotify_watches")
PROGRAM = """
import sys
from pathlib import Path
from tests.source.helpers import manifest
from tests.source.watched import watching

root = Path(sys.argv[1])
with watching(root) as watched:
    print(watched.latest.faults[0])
    for number in range(5):
        watched.write(f"team{number}/b.yaml", manifest(f"b{number}"))
    watched.until_names("a", "b0", "b1", "b2", "b3", "b4")
    for number in range(2):
        (root / f"team{number}/b.yaml").unlink()
    watched.until_names("a", "b2", "b3", "b4")
print("ended well")
"""


def can_lower_limits() -> bool:
    """Whether a user namespace can be made, whose limits are its own."""
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", f"echo 100 > {LIMITS}"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize(
    ("limit", "value", "advice"),
    [
        ("max_inotify_watches", 1, "inotify watch limit reached (raise it with sysctl fs.inotify.max_user_watches"),
        ("max_inotify_watches", 3, "inotify watch limit reached (raise it with sysctl fs.inotify.max_user_watches"),
        ("max_inotify_instances", 0, "inotify instance limit reached (raise it with sysctl fs.inotify.max_user_inst"),
    ],
    ids=["no folder", "some folders", "no instance"],
)
def test_a_real_limit_is_told_and_the_folder_polled(tmp_path: Path, limit: str, value: int, advice: str) -> None:
    if not can_lower_limits():
        pytest.skip("user namespaces cannot be made here")
    for number in range(5):
        (tmp_path / f"team{number}").mkdir()
    (tmp_path / "a.yaml").write_text(manifest("a"))
    script = f'echo {value} > /proc/sys/user/{limit} && exec "$@"'
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-c",
        PROGRAM,
        str(tmp_path),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2], env=os.environ
    )
    assert "ended well" in done.stdout, done.stderr
    assert advice in done.stdout


def test_watching_is_taken_up_when_the_limit_is_raised(tmp_path: Path) -> None:
    refusals = iter([OSError(errno.EMFILE, "inotify instance limit reached")])

    def make() -> BaseObserver:
        refusal = next(refusals, None)
        if refusal is not None:
            raise refusal
        return Observer()

    (tmp_path / "a.yaml").write_text(manifest("a"))
    with watching(tmp_path, rescan_interval=1.0, make_observer=make) as watched:
        (warning,) = watched.delivered[0][1].faults
        assert warning.warning
        assert "instance limit" in warning.message
        assert "fs.inotify.max_user_instances" in warning.hint
        watched.until(lambda snapshot: not snapshot.faults)
        watched.write("b.yaml", manifest("b"))
        watched.until_names("a", "b")
