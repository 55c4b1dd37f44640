"""What a private engine touches on the machine outside its folder: cgroups, mounts, bridges, iptables chains."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
KILL_SECONDS = 20.0


def search_path() -> str:
    """PATH with the folders of the administrator's programs, which a plain `su` leaves out."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def find(program: str) -> str | None:
    """Where the program is."""
    return shutil.which(program, path=search_path())


class Cgroup:
    """A folder in every cgroup hierarchy (v1) or in the only one (v2): `daemons` for the engine, `containers` below it.

    Everything the engine ever starts is in it, so that ending what is in it ends all, and nothing else.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> None:
        """Make the folders that `inside` needs."""
        if _is_v2():
            _make_room_in_a_nested_root(CGROUPS)
        self._daemons().mkdir(parents=True, exist_ok=True)

    def inside(self, leaf: str, *command: str) -> list[str]:
        """The command that runs `command` within `leaf` from its first instruction on."""
        script = 'echo $$ > "$1"; shift; exec "$@"'
        return ["/bin/sh", "-c", script, "sh", str(self._daemons().with_name(leaf) / "cgroup.procs"), *command]

    def pids(self, leaf: str = "") -> set[int]:
        """The processes in it, or only in `leaf`."""
        found: set[int] = set()
        for top in self._tops():
            for folder, _, _ in os.walk(top / leaf):
                found.update(_read_pids(Path(folder)))
        return found

    def kill(self, leaf: str = "") -> None:
        """SIGKILL all in it until none is left; frozen ones are thawed, or they would never die."""
        deadline = time.monotonic() + KILL_SECONDS
        while pids := self.pids(leaf):
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes {sorted(pids)} of {self.name} outlive SIGKILL")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._thaw(leaf)
            time.sleep(0.01)

    def remove(self) -> None:
        """Kill all and remove the folders."""
        self.kill()
        for top in self._tops():
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(FileNotFoundError):  # a hierarchy seen through two names
                    Path(folder).rmdir()

    def _thaw(self, leaf: str) -> None:
        for top in self._tops():
            for folder, _, files in os.walk(top / leaf):
                with contextlib.suppress(OSError):  # removed meanwhile
                    if "freezer.state" in files:
                        (Path(folder) / "freezer.state").write_text("THAWED")
                    elif "cgroup.freeze" in files:
                        (Path(folder) / "cgroup.freeze").write_text("0")

    def _tops(self) -> Iterator[Path]:
        for top in (CGROUPS / self.name, *CGROUPS.glob(f"*/{self.name}")):
            if top.is_dir():
                yield top

    def _daemons(self) -> Path:
        hierarchy = CGROUPS if _is_v2() else CGROUPS / "pids"
        return hierarchy / self.name / "daemons"


def unmount_below(root: Path) -> None:
    """Unmount all below `root`, the innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed(mounts):
        if mount.startswith(f"{root}/"):
            run(["umount", "--lazy", mount])


def remove_shim_sockets(root: Path) -> None:
    """Remove the sockets of killed shims, which containerd keeps outside its own folders."""
    for address in root.glob("exec/containerd/*/*/*/address"):
        Path(address.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)


def iptables_are_free() -> bool:
    """Whether this machine's tables can be read and hold no chain of Docker's, which would be another dockerd's."""
    tables = _iptables("-save")
    return tables.returncode == 0 and ":DOCKER" not in tables.stdout


def remove_networks(root: Path) -> None:
    """Remove the bridges of the engine's networks and, where it managed iptables, Docker's chains."""
    store = root / "data/network/files/local-kv.db"
    content = store.read_text("latin-1") if store.exists() else ""
    bridges = set(re.findall(r"br-[0-9a-f]{12}|sk-[0-9a-f]{8}", content))
    for bridge in bridges:
        if Path("/sys/class/net", bridge).exists():
            run(["busybox", "ip", "link", "del", bridge])
    config = root / "daemon.json"
    if config.exists() and '"iptables": true' in config.read_text():
        _remove_iptables_rules(bridges)


def _remove_iptables_rules(bridges: set[str]) -> None:
    script: list[str] = []
    ours = re.compile("|".join([r"\bDOCKER", *bridges]))
    chains: list[str] = []
    for line in _iptables("-save").stdout.splitlines():
        if line.startswith("*"):
            script.append(line)
            chains = []
        elif line.startswith(":DOCKER"):
            chains.append(line.split()[0][1:])
        elif line.startswith("-A") and ours.search(line):
            script.append(line.replace("-A", "-D", 1))
        elif line == "COMMIT":
            script += [*(f"-X {chain}" for chain in chains), line]
    _iptables("-restore", "--noflush", stdin="\n".join([*script, ""]))


def _iptables(verb: str, *options: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return run([f"iptables{verb}", *options], stdin)


def run(command: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program of the system's; the caller judges its exit status, 127 where there is no such program."""
    program = find(command[0])
    if program is None:
        return subprocess.CompletedProcess(command, 127, "", "not installed")
    return subprocess.run([program, *command[1:]], input=stdin, text=True, capture_output=True, check=False)


def _is_v2() -> bool:
    return (CGROUPS / "cgroup.controllers").exists()


def _make_room_in_a_nested_root(root: Path) -> None:
    """A container's v2 root holds processes, and a cgroup with processes hands no controllers down: move them."""
    if not (root / "cgroup.type").exists():
        return  # the machine's true root may hold both
    init = root / "init"
    init.mkdir(exist_ok=True)
    for pid in _read_pids(root):
        with contextlib.suppress(OSError):  # it ended meanwhile
            (init / "cgroup.procs").write_text(str(pid))
    controllers = (root / "cgroup.controllers").read_text().split()
    (root / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))


def _read_pids(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []  # removed meanwhile, or v2's `threaded` kind, which has none
