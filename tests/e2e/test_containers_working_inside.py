"""Working inside a container through the command line: exec and logs, and what the looking verbs say."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from tests.e2e.containers import Outside, sh
from tests.e2e.daemon import RunningDaemon

pytestmark = pytest.mark.docker


def test_exec_passes_output_input_and_exit_status_through(shared: RunningDaemon) -> None:
    shared.declare("box")
    shared.wait_ready("box")
    done = shared.cli("exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert shared.cli("exec", "-i", "box", "--", "wc", "-c", stdin="12345").stdout == "5\n"
    assert shared.cli("exec", "box", "--", "sh", "-c", "kill -9 $$", check=False).returncode == 137
    assert shared.cli("exec", "box", "--", "/no/such/program", check=False).returncode in (126, 127)
    told = shared.cli("exec", "box", "-e", "MOOD=calm", "-w", "/tmp", "--", "sh", "-c", "echo $MOOD in $PWD").stdout
    assert told == "calm in /tmp\n"
    assert len(shared.cli("exec", "box", "--", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x").stdout) == 3000000


def test_an_exec_that_takes_too_long_is_killed_with_all_its_children(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    shared.declare("slow")
    shared.wait_ready("slow")
    began = time.monotonic()
    script = "setsid sleep 4321 & sleep 4321"
    done = shared.cli("exec", "slow", "--timeout", "1s", "--", "sh", "-c", script, check=False)
    assert done.returncode == 124
    assert time.monotonic() - began < 10
    processes = outside_shared.client.api.top(outside_shared.inspect("slow")["Id"])["Processes"]
    assert not [line for line in processes if "4321" in " ".join(line)]
    assert shared.condition("slow", "Ready")["status"] == "True"


def test_an_exec_ends_with_the_person_who_asked_for_it(shared: RunningDaemon, outside_shared: Outside) -> None:
    shared.declare("left")
    shared.wait_ready("left")
    command = [sys.executable, "-m", "controller.cli", "exec", "--state-dir", str(shared.state_dir), "left", "--"]
    with subprocess.Popen([*command, "sleep", "8765"], stdout=subprocess.PIPE, env=shared.environment) as asker:
        shared.until(lambda: runs(outside_shared, "left", "8765"), "it runs")
        asker.kill()
    shared.until(lambda: not runs(outside_shared, "left", "8765"), "it is gone")


def runs(outside: Outside, name: str, text: str) -> bool:
    processes = outside.client.api.top(outside.inspect(name)["Id"])["Processes"]
    return any(text in " ".join(line) for line in processes)


def test_following_logs_ends_when_the_sandbox_is_removed(shared: RunningDaemon) -> None:
    script = "echo first; while [ ! -e more ]; do sleep 0.1; done; echo second; sleep 1000"
    shared.declare("talks", command=["sh", "-c", script])
    shared.wait_ready("talks")
    command = [sys.executable, "-m", "controller.cli", "logs", "--state-dir", str(shared.state_dir), "talks", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=shared.environment) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "first\n"
        sh(shared, "talks", "touch more")
        assert follower.stdout.readline() == "second\n"
        assert shared.cli("logs", "talks", "--tail", "1").stdout == "second\n"
        shared.undeclare("talks")
        assert follower.stdout.read() == ""
        assert follower.wait(20) == 0
    shared.wait_gone("talks")
    unknown = shared.cli("logs", "talks", check=False)
    assert unknown.returncode != 0
    assert "talks" in unknown.stderr


def test_what_get_describe_explain_top_wait_and_events_say_of_a_running_one(shared: RunningDaemon) -> None:
    limits = {"memory": "64Mi", "cpu": "500m", "pids": 32}
    shared.declare("shown", resources={"limits": limits})
    assert shared.cli("wait", "shown", "--for=Ready", "--timeout=30s").returncode == 0
    shared.until(lambda: "usage" in shared.status("shown"), "it is measured")
    document: dict[str, Any] = shared.sandbox("shown")
    listed = shared.cli("get", "shown").stdout.splitlines()
    assert listed[1].split()[:3] == ["shown", "True", "Running"]
    described = shared.cli("describe", "shown").stdout
    for text in ("Running, ready", document["status"]["containerID"], document["metadata"]["uid"], "busybox:latest"):
        assert text in described
    assert "shown.yaml:1" in described
    assert "Next: nothing; what is there is what is wanted." in shared.cli("explain", "shown").stdout
    assert "shown" in shared.cli("top").stdout
    assert [line.split()[2] for line in shared.cli("events", "shown").stdout.splitlines()[1:]] == [
        "Created",
        "Started",
        "Ready",
    ]
    late = shared.cli("wait", "shown", "--for=Suspended", "--timeout=1s", check=False)
    assert late.returncode == 1
    assert "shown" in late.stderr + late.stdout
    refused = shared.cli("delete", "shown", check=False)
    assert refused.returncode != 0
    assert "shown.yaml" in refused.stderr
    assert "--hold" in refused.stderr
    shared.cli("delete", "shown", "--hold")
    shared.until(lambda: "containerID" not in shared.status("shown"), "it is kept away")
    assert "Deleted" in shared.cli("explain", "shown").stdout
    shared.cli("resume", "shown")
    shared.wait_ready("shown")
