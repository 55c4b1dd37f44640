"""Suspending, expiry, deadlines and dependencies of containers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.e2e.containers import Outside, counted, sh, told
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import workspace_of

pytestmark = pytest.mark.docker


def shell(script: str, **spec: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **spec}


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(("mode", "state"), [("Stop", "exited"), ("Freeze", "paused")])
def test_the_manifest_suspends_and_resumes(
    shared: RunningDaemon, outside_shared: Outside, mode: str, state: str
) -> None:
    name = f"by-manifest-{mode.lower()}"
    shared.declare(name, suspend={"mode": mode})
    shared.wait_ready(name)
    before = outside_shared.identity(name)
    shared.declare(name, suspend={"mode": mode}, operatingMode="Suspended")
    shared.wait_condition(name, "Suspended", "True", "Suspended")
    assert outside_shared.is_in(name, state)
    assert shared.status(name)["phase"] == "Suspended"
    assert "operatingMode" in shared.condition(name, "Suspended")["message"]
    refused = shared.cli("resume", name, check=False)
    assert refused.returncode != 0
    assert f"{name}.yaml" in refused.stderr
    shared.declare(name, suspend={"mode": mode})
    shared.wait_ready(name)
    after = outside_shared.identity(name)
    assert (after[0], after == before) == (before[0], mode == "Freeze")
    assert shared.status(name)["restarts"] == 0


@pytest.mark.parametrize(("mode", "state"), [("Stop", "exited"), ("Freeze", "paused")])
def test_a_person_suspends_and_resumes_and_an_edit_does_not(
    shared: RunningDaemon, outside_shared: Outside, mode: str, state: str
) -> None:
    name = f"by-hand-{mode.lower()}"
    shared.declare(name, suspend={"mode": mode})
    shared.wait_ready(name)
    before = outside_shared.identity(name)
    sh(shared, name, "echo kept > /workspace/file")
    shared.cli("suspend", name)
    shared.cli("wait", name, "--for=Suspended", "--timeout=20s")
    assert outside_shared.is_in(name, state)
    assert [hold["type"] for hold in shared.status(name)["holds"]] == ["Suspended"]
    assert "by hand" in shared.cli("explain", name).stdout
    shared.declare(name, suspend={"mode": mode}, resources={"limits": {"memory": "64Mi"}})
    shared.until(lambda: shared.status(name)["observedGeneration"] == 2, "the edit is seen")
    assert outside_shared.is_in(name, state)
    shared.cli("resume", name)
    shared.wait_ready(name)
    outside_shared.wait_memory(name, 64)
    assert outside_shared.inspect(name)["Id"] == before[0]
    assert sh(shared, name, "cat /workspace/file") == "kept\n"
    assert shared.status(name)["restarts"] == 0


def test_an_image_edited_while_suspended_is_taken_at_the_next_start(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    shared.declare("asleep", command=["sleep", "1000"])
    shared.wait_ready("asleep")
    old = outside_shared.inspect("asleep")["Id"]
    shared.cli("suspend", "asleep")
    shared.wait_condition("asleep", "Suspended", "True")
    shared.declare("asleep", command=["sleep", "2000"])
    shared.until(lambda: shared.status("asleep")["observedGeneration"] == 2, "the edit is seen")
    assert [info["State"]["Running"] for info in outside_shared.of("asleep")] == [False]
    shared.cli("resume", "asleep")
    outside_shared.wait_replaced("asleep", old)
    shared.wait_ready("asleep")
    assert outside_shared.inspect("asleep")["Config"]["Entrypoint"] == ["sleep", "2000"]


def test_ttl_and_shutdown_time_end_a_sandbox_and_its_policy_says_what_is_kept(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    shared.declare("kept", ttl="3s")
    shared.declare("erased", shutdownTime=in_seconds(3), shutdownPolicy="Delete")
    shared.wait_ready("kept", "erased")
    for name in ("kept", "erased"):
        sh(shared, name, "touch /workspace/file")
    for name in ("kept", "erased"):
        shared.wait_condition(name, "Finished", "True", "Expired")
        shared.until(partial(none_left, outside_shared, name), "its container is gone")
    kept, erased = (workspace_of(shared, name) for name in ("kept", "erased"))
    assert (kept / "file").exists()
    assert not erased.exists()
    assert shared.status("kept")["lastTermination"]["cause"] == "Expired: spec.ttl has passed"
    assert "lastTermination" not in shared.status("erased")
    assert "spec.ttl has passed" in shared.cli("describe", "kept").stdout
    assert "Expired" in shared.cli("explain", "erased").stdout
    shared.declare("kept")
    shared.wait_ready("kept")
    assert sh(shared, "kept", "ls /workspace") == "file\n"


def none_left(outside: Outside, name: str) -> bool:
    return outside.of(name) == []


def test_a_startup_deadline_that_passes_is_said_and_the_sandbox_tried_on(shared: RunningDaemon) -> None:
    shared.declare("late", image="no-such-image:1", imagePullPolicy="Never", startupDeadline="1s")
    shared.wait_condition("late", "Ready", "False", "ImageUnavailable")
    shared.until(lambda: shared.status("late")["phase"] == "Failed", "its deadline has passed")
    assert shared.condition("late", "Ready")["reason"] == "StartupDeadlineExceeded"
    assert "spec.startupDeadline (1s)" in shared.condition("late", "Ready")["message"]
    assert "no-such-image:1" in shared.condition("late", "Degraded")["message"]
    explained = shared.cli("explain", "late").stdout
    assert "spec.startupDeadline (1s)" in explained
    assert "no-such-image:1" in explained
    shared.declare("late")
    shared.wait_ready("late")
    assert shared.status("late")["phase"] == "Running"


def test_dependencies_are_ready_first_and_removed_last(daemon: RunningDaemon, outside: Outside) -> None:
    daemon.declare("web", dependsOn=["api"])
    daemon.declare("api", dependsOn=["db"])
    daemon.wait_condition("web", "Ready", "False", "WaitingForDependencies")
    daemon.wait_condition("api", "Ready", "False", "WaitingForDependencies")
    assert "default/db (no manifest declares it)" in daemon.condition("api", "Ready")["message"]
    assert outside.containers() == []
    daemon.declare("db")
    daemon.wait_ready("db", "api", "web")
    ready = [daemon.status(name)["timings"]["ready"] for name in ("db", "api", "web")]
    created = [daemon.status(name)["timings"]["created"] for name in ("db", "api", "web")]
    assert sorted(ready + created) == [created[0], ready[0], created[1], ready[1], created[2], ready[2]]
    for path in daemon.manifests.iterdir():
        path.unlink()
    for name in ("web", "api", "db"):
        daemon.wait_gone(name)
    removed = [line for line in daemon.logged().splitlines() if '"operation": "remove"' in line]
    assert [line.split('"sandbox": "default/')[1].split('"')[0] for line in removed] == ["web", "api", "db"]


def test_a_cycle_of_dependencies_is_refused_and_spelt_out(shared: RunningDaemon, outside_shared: Outside) -> None:
    shared.declare("one", dependsOn=["two"])
    shared.declare("two", dependsOn=["one"])
    for name, text in (("one", "default/one → default/two → default/one"), ("two", "default/two → default/one")):
        shared.wait_condition(name, "Accepted", "False", "DependencyCycle")
        assert text in shared.condition(name, "Accepted")["message"]
        assert outside_shared.of(name) == []
    assert "default/one → default/two → default/one" in shared.cli("explain", "one").stdout
    shared.declare("two")
    shared.wait_ready("two", "one")


def test_a_stop_gives_the_grace_period_and_no_more(shared: RunningDaemon, outside_shared: Outside) -> None:
    script = "trap 'echo bye > bye; exit 0' TERM; touch up; while :; do sleep 0.1; done"
    shared.declare("polite", **shell(script, stopGracePeriod="10s"))
    shared.declare("deaf", **shell("trap '' TERM; touch up; while :; do sleep 0.1; done", stopGracePeriod="1s"))
    shared.wait_ready("polite", "deaf")
    for name in ("polite", "deaf"):
        shared.cli("suspend", name)
    for name, code in (("polite", 0), ("deaf", 137)):
        shared.wait_condition(name, "Suspended", "True")
        assert outside_shared.inspect(name)["State"]["ExitCode"] == code
        shared.until(partial(ended, shared, name), "its end is accounted for")
        assert shared.status(name)["lastTermination"]["cause"] == "Suspended: by hand (sandkeeper suspend)"
    assert counted(shared, "deaf", "LimitExceeded") == 0
    assert told(shared, "deaf", "Held") == ["Suspended: by hand (sandkeeper suspend)"]


def ended(daemon: RunningDaemon, name: str) -> bool:
    return "lastTermination" in daemon.status(name)


def test_a_restart_by_hand_keeps_the_container_and_is_counted(shared: RunningDaemon, outside_shared: Outside) -> None:
    shared.declare("again", restartPolicy="Never")
    shared.wait_ready("again")
    before = outside_shared.identity("again")
    shared.cli("restart", "again")
    shared.until(lambda: shared.status("again")["restarts"] == 1, "the restart is counted")
    shared.wait_ready("again")
    after = outside_shared.identity("again")
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    assert shared.status("again")["lastTermination"]["cause"] == "by hand (sandkeeper restart)"
