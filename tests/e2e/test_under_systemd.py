"""The daemon with what its unit leaves it: the hardening must not break the sandboxes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.e2e import directories
from tests.e2e.daemon import RunningDaemon

UNIT: Final = (Path(__file__).parents[2] / "deploy" / "systemd" / "sandkeeper.service").read_text()
# ProtectSystem=strict as systemd does it: everything read-only but the kernel's own and what is listed.
_STRICT: Final = """
mount --make-rprivate /
for kept in $KEPT; do mkdir -p "$kept"; mount --bind "$kept" "$kept"; done
mount -o remount,bind,ro /
exec "$@"
"""


def capabilities() -> str:
    """The unit's bounding set, as setpriv takes it."""
    named = " ".join(re.findall(r"^CapabilityBoundingSet=(.*)$", UNIT, re.MULTILINE)).split()
    return ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in named)])


@pytest.mark.root
def test_directory_sandboxes_run_limited_within_the_units_bounds() -> None:
    """With its capabilities, no_new_privs and a file system that is read-only but for its own folders."""
    assert "ProtectSystem=strict" in UNIT
    assert "NoNewPrivileges=yes" in UNIT
    daemon = RunningDaemon(None)
    kept = f"{daemon.root} /run/sandkeeper /tmp /dev /proc /sys"
    daemon.prefix = ["unshare", "--mount", "env", f"KEPT={kept}", "sh", "-euc", _STRICT, "sh"]
    daemon.prefix += ["setpriv", "--no-new-privs", f"--bounding-set={capabilities()}"]
    with daemon:
        refused = subprocess.run(
            ["nsenter", f"--target={daemon.pid}", "--mount", "touch", "/etc/sandkeeper-test"], check=False
        )
        assert refused.returncode != 0
        directories.declare(daemon, "web", *directories.FOREVER, **directories.limits(memory="64Mi", pids=8))
        daemon.wait_ready("web")
        rows = {row["limit"]: row["state"] for row in daemon.status("web")["enforcement"]}
        enforced = {name for name in ("memory", "pids") if name in directories.updatable(daemon)}
        assert {name for name in ("memory", "pids") if rows[name] == "Enforced"} == enforced
        assert (rows["user"], rows["capabilities"]) == ("Enforced", "Enforced")
        daemon.cli("exec", "web", "--", "sh", "-c", "echo kept > file; test $(id -u) -ge 200000")
        pid = directories.pid_of(daemon, "web")
        daemon.kill()
        daemon.start()
        daemon.wait_ready("web")
        assert directories.pid_of(daemon, "web") == pid
        daemon.undeclare("web")
        daemon.wait_gone("web")
        assert not directories.is_alive(pid)
