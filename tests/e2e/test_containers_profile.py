"""The secure profile of a container that a manifest of one line made, by the engine's inspect and from inside."""

from __future__ import annotations

import pytest

from tests.e2e.containers import MIB, Outside, row, sh
from tests.e2e.daemon import RunningDaemon

pytestmark = pytest.mark.docker

REPORT = """
cat /proc/self/status
echo MOUNTS; cat /proc/mounts
echo LINKS; ls /sys/class/net
echo INSIDE; hostname; env; id -u; id -g; ls /var/run/docker.sock /run/docker.sock 2>&1; true
"""


def test_a_sandbox_with_defaults_has_the_whole_secure_profile(shared: RunningDaemon, outside_shared: Outside) -> None:
    shared.declare("safe-one")
    shared.wait_ready("safe-one")
    info = outside_shared.inspect("safe-one")
    host = info["HostConfig"]
    assert (host["Privileged"], host["CapAdd"], host["CapDrop"]) == (False, None, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["ReadonlyRootfs"], host["NetworkMode"], host["IpcMode"], host["PidMode"]) == (
        True,
        "none",
        "private",
        "",
    )
    assert host["Tmpfs"] == {"/tmp": f"rw,noexec,nosuid,nodev,size={64 * MIB}"}
    assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (512 * MIB, 512 * MIB, 128)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "2", "max-size": "10m"}}
    assert (host["RestartPolicy"]["Name"], host["Init"], host["Devices"], host["Binds"]) == ("no", True, None, None)
    assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]} == {"nofile": 1024, "core": 0}
    assert info["Config"]["User"] == "10001:10001"
    (mount,) = [mount for mount in info["Mounts"] if mount["Type"] == "bind"]
    uid = shared.sandbox("safe-one")["metadata"]["uid"]
    assert (mount["Source"], mount["Destination"]) == (str(shared.state_dir / "workspaces" / uid), "/workspace")


def test_a_process_inside_sees_that_profile_too(shared: RunningDaemon) -> None:
    shared.declare("safe-two")
    shared.wait_ready("safe-two")
    report = sh(shared, "safe-two", REPORT)
    status, rest = report.split("MOUNTS\n")
    mounts, rest = rest.split("LINKS\n")
    links, inside = rest.split("INSIDE\n")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {fields[f"Cap{name}"] for name in ("Eff", "Prm", "Bnd", "Inh", "Amb")} == {"0" * 16}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert (fields["Uid"].split(), fields["Gid"].split()) == (["10001"] * 4, ["10001"] * 4)
    options = {line.split()[1]: set(line.split()[3].split(",")) for line in mounts.splitlines()}
    assert "ro" in options["/"]
    assert {"rw", "noexec", "nosuid", "nodev", "size=65536k"} <= options["/tmp"]
    assert links.split() == ["lo"]
    assert inside.count("No such file or directory") == 2, "the engine's socket is inside"
    assert "safe-two" not in report, "the sandbox can read its own name"


def test_nothing_but_workspace_and_tmp_can_be_written(shared: RunningDaemon) -> None:
    shared.declare("safe-three")
    shared.wait_ready("safe-three")
    script = "for d in / /etc /bin /usr /var /home /sys /proc /dev; do touch $d/x 2>/dev/null && echo wrote $d; done"
    assert sh(shared, "safe-three", f"{script}; touch /workspace/x /tmp/x && echo both") == "both\n"
    done = shared.cli("exec", "safe-three", "--", "sh", "-c", "cp /bin/busybox /tmp/b; /tmp/b true", check=False)
    assert (done.returncode, "Permission denied" in done.stderr) == (126, True)


def test_the_contract_in_the_status_agrees(shared: RunningDaemon, outside_shared: Outside) -> None:
    limits = {"memory": "96Mi", "cpu": "500m", "pids": 33, "disk": "10Mi", "openFiles": 99}
    shared.declare("told", resources={"limits": limits})
    shared.wait_ready("told")
    status = shared.status("told")
    shown = {found["limit"]: (found["value"], found["state"]) for found in status["enforcement"]}
    assert shown == {
        "memory": ("96Mi", "Enforced"),
        "swap": ("0", "Enforced"),
        "cpu": ("500m", "Enforced"),
        "pids": ("33", "Enforced"),
        "disk": ("10Mi", "Measured"),
        "network": ("none", "Enforced"),
        "openFiles": ("99", "Enforced"),
        "filesystem": ("read-only root", "Enforced"),
        "capabilities": ("none", "Enforced"),
        "seccomp": ("filter", "Enforced"),
        "user": ("10001:10001", "Enforced"),
    }
    assert all(found["mechanism"] for found in status["enforcement"])
    assert shared.condition("told", "LimitsEnforced")["reason"] == "SomeMeasured"
    assert status["pid"] == outside_shared.inspect("told")["State"]["Pid"]
    described = shared.cli("describe", "told").stdout
    assert "96Mi" in described
    assert "seccomp" in described
    assert "Its disk is only Measured" in shared.cli("explain", "told").stdout


def test_what_the_manifest_loosens_shows_in_the_contract(shared: RunningDaemon) -> None:
    filesystem = {"readOnlyRoot": False, "tmpfs": {}}
    shared.declare("loose", filesystem=filesystem, user="4711")
    shared.wait_ready("loose")
    status = shared.status("loose")
    assert row(status, "filesystem")["state"] == "Measured"
    assert row(status, "user")["value"] == "4711:4711"
    assert sh(shared, "loose", "touch /tmp/x && id -u") == "4711\n"
