"""Limits of live containers and what the tick does about them: warn, throttle, pause, stop."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

from tests.e2e.containers import Outside, counted, metric, sh, told
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import workspace_of

pytestmark = pytest.mark.docker

MANY = "while [ ! -e go ]; do sleep 0.1; done; for i in 1 2 3 4 5 6; do sleep 1000 & done; wait"


def shell(script: str, **spec: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **spec}


def test_a_full_process_count_pauses_until_resumed_and_is_told_once(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    spec = {"resources": {"limits": {"pids": 8}}, "enforcement": {"pids": {"action": "pause"}}}
    shared.declare("forks", **shell(MANY, **spec))
    shared.wait_ready("forks")
    before = outside_shared.identity("forks")
    (workspace_of(shared, "forks") / "go").touch()
    shared.wait_condition("forks", "Suspended", "True", "Paused")
    status = shared.status("forks")
    assert (status["phase"], [hold["type"] for hold in status["holds"]]) == ("Suspended", ["Paused"])
    assert status["holds"][0]["cause"] == "pids: 8 of 8, over the limit"
    assert outside_shared.inspect("forks")["State"]["Status"] == "paused"
    refused = shared.cli("exec", "forks", "--", "true", check=False)
    assert refused.returncode != 0
    assert "Suspended" in refused.stderr
    assert "resume" in shared.cli("explain", "forks").stdout
    shared.cli("resume", "forks")
    shared.wait_ready("forks")
    assert outside_shared.identity("forks") == before
    ticked(shared, "forks")
    assert shared.status("forks")["holds"] == []
    assert counted(shared, "forks", "LimitExceeded") == 1
    assert metric(shared, "sandbox_limit_violations_total", sandbox="forks", resource="pids", action="pause") == 1


def ticked(daemon: RunningDaemon, name: str) -> None:
    """Wait for two measurements that begin after now."""
    for _ in range(2):
        before = daemon.status(name)["usage"]["at"]
        daemon.until(partial(measured_since, daemon, name, before), "it is measured")


def measured_since(daemon: RunningDaemon, name: str, before: str) -> bool:
    return bool(daemon.status(name)["usage"]["at"] != before)


BURN = "while [ ! -e calm ]; do :; done; exec sleep 1000"


def test_busy_cpu_is_throttled_in_place_and_released_when_it_falls(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    cpu = {"above": "60%", "for": "1s", "action": "throttle"}
    shared.declare("burns", **shell(BURN, resources={"limits": {"cpu": "400m"}}, enforcement={"cpu": cpu}))
    shared.wait_ready("burns")
    before = outside_shared.identity("burns")
    shared.until(lambda: outside_shared.in_force("burns").cpu == 200, "cpu is halved")
    shared.until(lambda: bool(shared.status("burns")["holds"]), "the hold is shown")
    (hold,) = shared.status("burns")["holds"]
    assert (hold["type"], hold["value"], hold["release"]) == ("Throttled", 200, "usage falls")
    assert hold["cause"].endswith("above 60% for 1s")
    shared.wait_ready("burns")
    assert hold["cause"] in told(shared, "burns", "Updated")[-1]
    sh(shared, "burns", "touch calm")
    shared.until(lambda: outside_shared.in_force("burns").cpu == 400, "cpu is given back")
    assert outside_shared.identity("burns") == before
    shared.until(lambda: shared.status("burns")["holds"] == [], "the hold is gone")
    assert shared.status("burns")["restarts"] == 0
    assert metric(shared, "sandbox_limit_violations_total", sandbox="burns", resource="cpu", action="throttle") == 1


def test_a_workspace_over_its_disk_limit_stops_the_sandbox_until_resumed(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    shared.declare("wide", resources={"limits": {"disk": "2Mi"}}, stopGracePeriod="1s")
    shared.declare("layered", **LAYERED)
    shared.wait_ready("wide", "layered")
    sh(shared, "wide", "dd if=/dev/zero of=/workspace/big bs=1M count=3 2>/dev/null")
    sh(shared, "layered", "dd if=/dev/zero of=/tmp/big bs=1M count=3 2>/dev/null")
    for name in ("wide", "layered"):
        shared.wait_condition(name, "Ready", "False", "LimitExceeded")
        shared.until(partial(outside_shared.is_in, name, "exited"), "it is down")
        cause = shared.status(name)["holds"][0]["cause"]
        assert cause.startswith("disk: 3")
        assert cause.endswith(" of 2Mi, over the limit")
        shared.until(partial(has_ended, shared, name), "its end is accounted for")
        assert shared.status(name)["lastTermination"]["cause"] == cause
        assert shared.status(name)["lastTermination"]["samples"]
        assert cause in shared.cli("describe", name).stdout
        assert metric(shared, "sandbox_limit_violations_total", sandbox=name, resource="disk", action="stop") == 1
    (workspace_of(shared, "wide") / "big").unlink()
    shared.cli("resume", "wide")
    shared.wait_ready("wide")
    shared.declare("layered", **{**LAYERED, "resources": {"limits": {"disk": "8Mi"}}})
    shared.wait_ready("layered")
    assert shared.status("layered")["holds"] == []


def has_ended(daemon: RunningDaemon, name: str) -> bool:
    return "lastTermination" in daemon.status(name)


LAYERED = {
    "resources": {"limits": {"disk": "2Mi"}},
    "stopGracePeriod": "1s",
    "filesystem": {"readOnlyRoot": False, "tmpfs": {}},
}


def test_passing_warn_at_is_told_and_nothing_is_done(shared: RunningDaemon, outside_shared: Outside) -> None:
    fill = "x=$(dd if=/dev/zero bs=1M count=26 2>/dev/null | tr '\\0' x); sleep 1000; echo $x"
    shared.declare("near", **shell(fill, resources={"limits": {"memory": "64Mi"}}, enforcement={"warnAt": "40%"}))
    shared.until(lambda: bool(told(shared, "near", "LimitNear")), "it is told")
    (near,) = told(shared, "near", "LimitNear")
    assert near.startswith("memory: ")
    assert near.endswith("of 64Mi, past warnAt 40%; action warn")
    shared.wait_ready("near")
    ticked(shared, "near")
    assert counted(shared, "near", "LimitNear") == 1
    assert shared.status("near")["restarts"] == 0
    top = shared.cli("top", "near").stdout
    assert re.search(r"near +\d+m +\d+% +[23]\d(\.\d)?Mi +[45]\d% ", top), top


def test_a_throttle_outlives_the_daemon(daemon: RunningDaemon, outside: Outside) -> None:
    cpu = {"above": "60%", "for": "1s", "action": "throttle"}
    daemon.declare("burns", **shell(BURN, resources={"limits": {"cpu": "400m"}}, enforcement={"cpu": cpu}))
    daemon.until(lambda: bool(told(daemon, "burns", "Updated")), "cpu is throttled")
    before = outside.identity("burns")
    daemon.kill()
    daemon.start()
    daemon.wait_ready("burns")
    assert outside.in_force("burns").cpu == 200
    assert [hold["type"] for hold in daemon.status("burns")["holds"]] == ["Throttled"]
    assert outside.identity("burns") == before
