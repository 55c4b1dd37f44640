"""The secure profile of a live container: by the engine's inspect, and by what a process inside can and cannot do."""

from __future__ import annotations

import pytest
from docker import DockerClient

from tests.docker_runtime.bench import Bench

pytestmark = pytest.mark.docker


def test_the_engine_confirms_the_profile(bench: Bench, raw: DockerClient) -> None:
    seen = bench.run()
    info = raw.api.inspect_container(seen.id)
    host = info["HostConfig"]
    assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (False, None, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (64 << 20, 64 << 20, 32)
    assert (host["CpuQuota"], host["CpuPeriod"], host["NanoCpus"]) == (50000, 100000, 0)
    assert (host["ReadonlyRootfs"], host["NetworkMode"], host["IpcMode"]) == (True, "none", "private")
    assert (host["PidMode"], host["Devices"], host["Binds"]) == ("", None, None)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "2", "max-size": "10m"}}
    assert (host["RestartPolicy"]["Name"], host["Init"]) == ("no", True)
    assert info["Config"]["User"] == "10001:10001"


def test_a_process_inside_has_nothing_to_gain(bench: Bench) -> None:
    seen = bench.run()
    _, status = bench.sh(seen.id, "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert fields["Uid"].split() == ["10001"] * 4
    assert fields["Gid"].split() == ["10001"] * 4


def test_only_workspace_and_tmp_can_be_written(bench: Bench) -> None:
    seen = bench.run()
    code, output = bench.sh(seen.id, "touch /workspace/a /tmp/a && pwd && touch /etc/a")
    assert code == 1
    assert set(output.splitlines()) == {"/workspace", "touch: /etc/a: Read-only file system"}
    assert [path.name for path in (bench.state / "workspaces" / seen.owner.uid).iterdir()] == ["a"]


def test_tmp_executes_nothing_and_ends_at_its_size(bench: Bench) -> None:
    seen = bench.run()
    _, mounts = bench.sh(seen.id, "grep ' /tmp ' /proc/mounts")
    assert {"rw", "nosuid", "nodev", "noexec", "size=16384k"} <= set(mounts.split()[3].split(","))
    code, _ = bench.sh(seen.id, "cp /bin/busybox /tmp/x && chmod +x /tmp/x && /tmp/x true")
    assert code == 126
    code, output = bench.sh(seen.id, "dd if=/dev/zero of=/tmp/big bs=1M count=17")
    assert (code, "No space left on device" in output) == (1, True)


def test_there_is_no_network_but_loopback(bench: Bench) -> None:
    seen = bench.run()
    assert bench.sh(seen.id, "ls /sys/class/net")[1].split() == ["lo"]


def test_open_files_and_core_dumps_are_limited(bench: Bench) -> None:
    seen = bench.run()
    assert bench.sh(seen.id, "ulimit -Hn; ulimit -Sn; ulimit -Hc")[1].split() == ["256", "256", "0"]


def test_an_init_reaps_and_processes_are_limited(bench: Bench) -> None:
    seen = bench.run(spec={"resources": {"limits": {"pids": 8}}})
    assert bench.sh(seen.id, "cat /proc/1/comm")[1].strip() in ("docker-init", "tini")
    code, output = bench.sh(seen.id, "for i in 1 2 3 4 5 6 7 8; do sleep 9 >/dev/null 2>&1 & done")
    assert (code != 0, "can't fork" in output) == (True, True)


def test_neither_name_nor_namespace_can_be_found_inside(bench: Bench) -> None:
    seen = bench.run("nameless-one")
    script = "hostname; env; cat /etc/hostname /etc/hosts /proc/self/mountinfo /proc/self/cgroup"
    _, output = bench.sh(seen.id, script)
    assert "nameless" not in output
    assert output.startswith(f"sandbox-{seen.owner.uid[:8]}\n")


def test_the_workspace_outlives_its_container(bench: Bench) -> None:
    seen = bench.run()
    bench.sh(seen.id, "echo kept > /workspace/file")
    bench.runtime.remove(seen.id)
    assert (bench.state / "workspaces" / seen.owner.uid / "file").read_text() == "kept\n"


def test_a_working_directory_outside_of_the_workspace_is_the_workspace(bench: Bench) -> None:
    seen = bench.run(spec={"workingDir": "/srv/app"})
    assert bench.sh(seen.id, "touch here && pwd") == (0, "/srv/app\n")
    assert (bench.state / "workspaces" / seen.owner.uid / "here").exists()
