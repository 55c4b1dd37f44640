"""doctor: what this machine offers, why not, and what to do."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from controller.cli.main import cli
from controller.cli.probes import kernel, tools
from controller.cli.probes.finding import Finding, Level, Setup
from controller.cli.probes.kernel import probe_cgroups, probe_inotify, probe_open_files
from controller.cli.probes.space import probe_memory, probe_space
from controller.cli.probes.state import probe_daemon, probe_state_dir
from controller.cli.probes.tools import probe_bubblewrap, probe_uv
from controller.runtime.cgroup.root import CgroupRoot
from tests.cli.engine import INFO, engine
from tests.cli.plane import Plane


def doctor(*arguments: str) -> Result:
    """`sandkeeper doctor` in a pipe."""
    return CliRunner().invoke(cli, ["doctor", *arguments], prog_name="sandkeeper")


def test_all_is_well(state_dir: Path, short_folder: Path) -> None:
    """A line a check; exit 0."""
    with engine(short_folder / "e.sock", INFO) as address:
        result = doctor("--engine", address)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["CHECK", "FINDING"]
    checks = {tuple(re.split(r" {2,}", line)[:2]) for line in lines[1:]}
    assert {("ok", check) for check in ("python", "engine", "runtimes", "state folder", "daemon")} <= checks


def test_as_json(state_dir: Path, short_folder: Path) -> None:
    """For scripts: the verdict, and each check with its level and advice."""
    document = json.loads(doctor("-o", "json", "--engine", str(short_folder / "none.sock")).stdout)
    assert document["ok"] is False
    (found,) = [check for check in document["checks"] if check["check"] == "engine"]
    assert found["level"] == "fail"
    assert found["advice"]


def test_a_full_disk_is_a_failure_and_a_scarce_one_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what is left."""
    usage = shutil.disk_usage(tmp_path)
    for free, level in ((10 << 20, Level.FAIL), (500 << 20, Level.WARN), (10 << 30, Level.OK)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: usage._replace(free=free))
        found = probe_space("state space", tmp_path)
        assert found is not None
        assert found.level is level
    monkeypatch.undo()
    assert probe_space("state space", tmp_path / "none") is None


def test_memory_is_told_in_sandboxes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the limit that one has by default."""
    for available, level, fitting in ((300 << 20, Level.WARN, 0), (5 << 30, Level.OK, 10)):
        memory = psutil.virtual_memory()._replace(available=available)
        monkeypatch.setattr("psutil.virtual_memory", lambda memory=memory: memory)
        (found,) = probe_memory(Setup(tmp_path))
        assert found.level is level
        assert f"{fitting} sandboxes of 512Mi" in found.message


def test_the_state_folder_may_still_have_to_be_made(tmp_path: Path) -> None:
    """Its nearest parent is looked at."""
    found = next(probe_state_dir(Setup(tmp_path / "a" / "b")))
    assert (found.level, found.message) == (Level.OK, f"{tmp_path}/a/b can be made")


def test_a_state_folder_that_cannot_be_one(tmp_path: Path) -> None:
    """A file is in the way, or others may write into it."""
    (tmp_path / "file").touch()
    assert next(probe_state_dir(Setup(tmp_path / "file"))).level is Level.FAIL
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose").chmod(0o777)
    assert next(probe_state_dir(Setup(tmp_path / "loose"))).advice == f"chmod 700 {tmp_path}/loose"


@pytest.mark.root
def test_a_state_folder_that_this_user_cannot_write(tmp_path: Path) -> None:
    """As an ordinary user on root's."""
    os.seteuid(65534)
    try:
        found = next(probe_state_dir(Setup(Path("/var/lib/dpkg"))))
    finally:
        os.seteuid(0)
    assert found.level is Level.FAIL


def test_the_daemon_passes_its_notices_on(state_dir: Path, plane: Plane) -> None:
    """What is wrong with the whole is the doctor's business too."""
    plane.set_info(faults=("web.yaml:4:8: spec.imgae: is unknown",), manifests_good=3)
    first, second = probe_daemon(Setup(state_dir))
    assert first == Finding(Level.OK, "daemon", "0.1.0 watches /srv/manifests, 3 manifests")
    assert (second.level, second.message) == (Level.WARN, "web.yaml:4:8: spec.imgae: is unknown")


def test_no_daemon_is_a_warning_with_the_command_that_starts_one(tmp_path: Path) -> None:
    """It may not have been started yet."""
    (found,) = probe_daemon(Setup(tmp_path))
    assert found.level is Level.WARN
    assert found.advice.startswith(f"start one with 'sandkeeper run --state-dir {tmp_path}'")


def test_bubblewrap_is_run_not_only_looked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel may refuse it its namespaces."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = probe_bubblewrap(Setup(tmp_path))
    assert found.message.startswith("bwrap: setting up uid map: Permission denied; ")
    broken.unlink()
    (found,) = probe_bubblewrap(Setup(tmp_path))
    assert found.message.startswith("not installed; ")


def test_uv_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Packages need it, nothing else."""

    def missing() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(tools, "find_uv_bin", missing)
    (found,) = probe_uv(Setup(tmp_path))
    assert (found.level, found.advice) == (Level.WARN, "pip install uv")


def test_inotify_counts_what_this_user_holds(tmp_path: Path) -> None:
    """A process that watches two folders holds one instance and two watches more."""
    before = kernel._inotify_use(os.geteuid())
    script = (
        "import ctypes, sys; libc = ctypes.CDLL(None); fd = libc.inotify_init();"
        "[libc.inotify_add_watch(fd, path.encode(), 0x100) for path in sys.argv[1:]]; print(flush=True); input()"
    )
    with subprocess.Popen(
        ["python3", "-c", script, "/", "/tmp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        after = kernel._inotify_use(os.geteuid())
        process.communicate(b"\n")
    assert after[0] >= before[0] + 1
    assert after[1] >= before[1] + 2


def test_inotify_limits_that_are_low(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the sysctl that raises them."""
    (tmp_path / "max_user_watches").write_text("100\n")
    (tmp_path / "max_user_instances").write_text("128\n")
    monkeypatch.setattr(kernel, "_INOTIFY", tmp_path)
    (found,) = probe_inotify(Setup(tmp_path))
    assert found.level is Level.WARN
    assert found.advice.startswith("sysctl fs.inotify.max_user_watches=")


def test_few_open_files_are_told_in_sandboxes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each keeps some descriptors."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    (found,) = probe_open_files(Setup(tmp_path))
    assert found.message == "at most 4096: enough for 682 sandboxes"
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert next(probe_open_files(Setup(tmp_path))).level is Level.OK


def test_cgroups_that_are_not_writable_are_measured_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What that means for a sandbox is said."""
    monkeypatch.setattr(CgroupRoot, "writable_controllers", lambda _: frozenset({"pids"}))
    (found,) = probe_cgroups(Setup(tmp_path))
    assert found.level is Level.WARN
    assert "memory, cpu, freezer: in directory sandboxes these are measured, not enforced" in found.message
