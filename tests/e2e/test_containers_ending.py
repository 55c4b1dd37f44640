"""Containers that end: by themselves, by their policy, for good, or killed for memory; and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.containers import MIB, Outside, counted, metric, sh, told
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import workspace_of

pytestmark = pytest.mark.docker


def shell(script: str, **spec: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **spec}


def test_a_crash_loop_backs_off_and_is_shown_as_such(shared: RunningDaemon, outside_shared: Outside) -> None:
    shared.declare("crashing", **shell("echo going down; exit 3"))
    shared.until(
        lambda: shared.sandboxes().get("crashing", {}).get("status", {}).get("restarts", 0) >= 2,
        "it was restarted twice",
    )
    shared.until(lambda: shared.status("crashing")["phase"] == "CrashLoopBackOff", "it backs off")
    ready = shared.condition("crashing", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "CrashLoopBackOff")
    assert "exited with status 3" in ready["message"]
    assert "times in a row, waits" in ready["message"]
    last = shared.status("crashing")["lastTermination"]
    assert (last["cause"], last["exitCode"], last["oomKilled"]) == ("exited with status 3", 3, False)
    assert len(outside_shared.of("crashing")) == 1
    assert shared.cli("logs", "crashing", "--tail", "1").stdout == "going down\n"
    shared.until(lambda: "CrashLoopBackOff" in shared.cli("get", "crashing").stdout, "it is listed as such")
    described = shared.cli("describe", "crashing").stdout
    assert "exited with status 3" in described
    assert "going down" in described
    assert "exited with status 3" in shared.cli("explain", "crashing").stdout
    assert metric(shared, "sandbox_restarts_total", sandbox="crashing") == shared.status("crashing")["restarts"]
    shared.declare("crashing")
    shared.wait_ready("crashing")
    assert shared.status("crashing")["phase"] == "Running"


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")],
)
def test_what_its_policy_does_not_restart_is_finished_and_its_logs_stay(
    shared: RunningDaemon, outside_shared: Outside, policy: str, code: int, phase: str
) -> None:
    name = f"job-{policy.lower()}-{code}"
    shared.declare(name, **shell(f"echo done; exit {code}", restartPolicy=policy))
    shared.wait_condition(name, "Finished", "True", phase)
    status = shared.status(name)
    assert (status["phase"], status["restarts"], status["lastTermination"]["exitCode"]) == (phase, 0, code)
    assert shared.cli("logs", name).stdout == "done\n"
    assert shared.cli("wait", name, "--for=Finished", "--timeout=1s").returncode == 0
    assert phase in shared.cli("get", name).stdout
    assert outside_shared.only_of(name)["State"]["Status"] == "exited"
    refused = shared.cli("exec", name, "--", "true", check=False)
    assert refused.returncode != 0
    assert phase in refused.stderr + refused.stdout
    shared.cli("restart", name)
    shared.until(lambda: counted(shared, name, "Ended") == 2, "it ran once more")
    assert told(shared, name, "Started")[-1] == "by hand (sandkeeper restart)"


def test_on_failure_restarts_what_failed_until_it_succeeds(shared: RunningDaemon) -> None:
    shared.declare("retried", **shell("[ -e ran ] && exit 0; touch ran; exit 5", restartPolicy="OnFailure"))
    shared.wait_condition("retried", "Finished", "True", "Succeeded")
    assert shared.status("retried")["restarts"] == 1


def test_a_missing_command_waits_for_an_edit(shared: RunningDaemon, outside_shared: Outside) -> None:
    shared.declare("typo", command=["pyhton3", "-c", "secret words"])
    shared.wait_condition("typo", "Ready", "False", "CannotRun")
    status = shared.status("typo")
    assert (status["phase"], status["restarts"]) == ("Failed", 0)
    message = shared.condition("typo", "Ready")["message"]
    assert "pyhton3" in message
    assert "spec.command" in message
    assert "secret words" not in message
    shared.cli("reconcile", "typo")
    started = len(told(shared, "typo", "Started"))
    assert started <= 1
    assert "CannotRun" in shared.cli("describe", "typo").stdout
    shared.declare("typo", command=["sleep", "100"])
    shared.wait_ready("typo")
    assert len(outside_shared.of("typo")) == 1


def test_a_main_process_killed_for_memory_leaves_its_evidence(shared: RunningDaemon) -> None:
    eat = "sleep 1.5; exec tail /dev/zero"
    spec = {"resources": {"limits": {"memory": "24Mi"}}, "restartPolicy": "Never"}
    shared.declare("hungry", **shell(eat, **spec))
    shared.wait_condition("hungry", "Finished", "True", "Failed")
    last = shared.status("hungry")["lastTermination"]
    assert (last["oomKilled"], last["exitCode"]) == (True, 137)
    assert last["cause"].startswith("memory: ")
    assert "24Mi" in last["cause"]
    assert last["samples"]
    assert {sample["limit"] for sample in last["samples"]} == {24 * MIB}
    exceeded = told(shared, "hungry", "LimitExceeded")
    assert ["24Mi" in message for message in exceeded] == [True]
    labels = {"sandbox": "hungry", "resource": "memory", "action": "kill"}
    assert metric(shared, "sandbox_limit_violations_total", **labels) == 1
    described = shared.cli("describe", "hungry").stdout
    assert last["cause"] in described
    assert "samples:" in described
    assert "killed for memory" in described


CHILDREN = "sleep 1.5; (tail /dev/zero); echo child ended $?; exec sleep 1000"


def test_a_child_killed_for_memory_is_told_while_the_container_runs_on(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    spec = {"resources": {"limits": {"memory": "24Mi"}}, "enforcement": {"memory": {"action": "warn"}}}
    shared.declare("parent", **shell(CHILDREN, **spec))
    shared.wait_ready("parent")
    before = outside_shared.identity("parent")
    shared.until(lambda: bool(told(shared, "parent", "LimitExceeded")), "the kill is told")
    (exceeded,) = told(shared, "parent", "LimitExceeded")
    assert exceeded == "memory: the kernel killed 1 process at the limit of 24Mi; action warn"
    assert "child ended 137\n" in shared.cli("logs", "parent").stdout
    assert outside_shared.identity("parent") == before
    assert shared.status("parent")["usage"]["oomKills"] == 1
    warnings = counted(shared, "parent", "LimitExceeded") + counted(shared, "parent", "LimitNear")
    labels = {"sandbox": "parent", "resource": "memory", "action": "warn"}
    assert metric(shared, "sandbox_limit_violations_total", **labels) == warnings


def test_a_child_killed_for_memory_takes_the_sandbox_with_it_by_default(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    spec = {"resources": {"limits": {"memory": "24Mi"}}, "restartPolicy": "Never"}
    shared.declare("whole", **shell(CHILDREN, **spec))
    shared.wait_condition("whole", "Finished", "True", "Failed")
    last = shared.status("whole")["lastTermination"]
    assert last["cause"] == "memory: the kernel killed 1 process at the limit of 24Mi"
    assert last["samples"]
    assert last["exitCode"] == 137
    assert metric(shared, "sandbox_limit_violations_total", sandbox="whole", resource="memory", action="kill") == 1
    assert outside_shared.only_of("whole")["State"]["Status"] == "exited"


def test_memory_with_action_stop_stays_down_until_resumed(shared: RunningDaemon) -> None:
    spec = {
        "resources": {"limits": {"memory": "24Mi"}},
        "enforcement": {"memory": {"action": "stop"}},
        "stopGracePeriod": "1s",
    }
    shared.declare("stopped", **shell(f"[ -e calm ] && exec sleep 1000; {CHILDREN}", **spec))
    shared.wait_condition("stopped", "Ready", "False", "LimitExceeded")
    shared.until(lambda: "pid" not in shared.status("stopped"), "it is down")
    status = shared.status("stopped")
    assert (status["phase"], [hold["type"] for hold in status["holds"]]) == ("Failed", ["Stopped"])
    assert "at the limit of 24Mi" in status["holds"][0]["cause"]
    assert status["lastTermination"]["cause"] == status["holds"][0]["cause"]
    assert status["lastTermination"]["samples"]
    assert "sandkeeper resume" in shared.cli("explain", "stopped").stdout
    (workspace_of(shared, "stopped") / "calm").touch()
    assert "Stopped" in shared.cli("resume", "stopped").stdout
    shared.wait_ready("stopped")
    assert shared.status("stopped")["holds"] == []
    assert sh(shared, "stopped", "echo up") == "up\n"
