"""What becomes of a directory sandbox that goes past its limits."""

from __future__ import annotations

import pytest

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import (
    FOREVER,
    declare,
    is_alive,
    limits,
    pid_of,
    reasons,
    updatable,
    wait_until,
    workspace_of,
)

# Grows by 1 MiB at a time, so that the tick sees it grow.
GREEDY = (
    "/usr/bin/python3",
    "-c",
    "import time; kept = []\nwhile True: kept.append(bytearray(1 << 20)); time.sleep(0.03)",
)
"""Past 48Mi after more than two ticks, so that there is something to be measured before."""
BOMB = (
    "/usr/bin/python3",
    "-c",
    "import os, time\nwhile True:\n try: os.fork() or time.sleep(1000)\n except OSError: time.sleep(0.1)",
)
BUSY = ("sh", "-c", "until [ -e rest ]; do :; done; while :; do sleep 0.1; done")


def needs(daemon: RunningDaemon, limit: str) -> None:
    if limit not in updatable(daemon):
        pytest.skip(f"no control group of this machine limits {limit} for us")


def test_memory_past_its_limit_kills_and_the_restart_backs_off(engineless: RunningDaemon) -> None:
    needs(engineless, "memory")
    declare(engineless, "web", *GREEDY, **limits(memory="48Mi"))
    engineless.until(lambda: engineless.status("web").get("restarts", 0) >= 2, "it was restarted twice")
    ended = engineless.status("web")["lastTermination"]
    assert ended["cause"].startswith("memory")
    assert "48Mi" in ended["cause"]
    assert ended["samples"], "what was measured before the end"
    assert ended["exitCode"] == 137
    engineless.until(lambda: engineless.status("web")["phase"] == "CrashLoopBackOff", "it backs off")
    assert "LimitExceeded" in reasons(engineless, "web") or ended["oomKilled"]
    assert 'sandbox_restarts_total{namespace="default",sandbox="web"}' in engineless.metrics()
    assert "web" in engineless.cli("get", "web").stdout


def test_a_fork_bomb_stays_within_its_limit_and_others_do_not_feel_it(engineless: RunningDaemon) -> None:
    needs(engineless, "pids")
    declare(engineless, "bomb", *BOMB, **limits(pids=30))
    declare(engineless, "good", *FOREVER)
    engineless.wait_ready("good")
    engineless.until(lambda: usage(engineless, "bomb", "pids") >= 25, "the bomb has gone off")
    assert usage(engineless, "bomb", "pids") <= 30
    assert engineless.cli("exec", "good", "--", "true").returncode == 0
    pid = pid_of(engineless, "bomb")
    engineless.undeclare("bomb")
    engineless.wait_gone("bomb")
    assert not is_alive(pid)


def test_cpu_past_its_limit_is_throttled_until_it_falls(engineless: RunningDaemon) -> None:
    needs(engineless, "cpu")
    enforcement = {"cpu": {"above": "80%", "for": "1s", "action": "throttle"}}
    declare(engineless, "web", *BUSY, **limits(cpu="500m"), enforcement=enforcement)
    engineless.wait_ready("web")
    pid = pid_of(engineless, "web")
    engineless.until(lambda: held(engineless, "web") == ["Throttled"], "it is throttled")
    engineless.until(lambda: row(engineless, "web", "cpu") != "500m", "the contract shows it")
    (workspace_of(engineless, "web") / "rest").touch()
    engineless.until(lambda: held(engineless, "web") == [], "it is released")
    engineless.until(lambda: row(engineless, "web", "cpu") == "500m", "its own limit is in force")
    assert pid_of(engineless, "web") == pid
    assert {"LimitExceeded", "Released"} <= set(reasons(engineless, "web"))


def test_what_fills_its_disk_again_after_a_kill_is_killed_again(engineless: RunningDaemon) -> None:
    command = (
        "sh",
        "-c",
        "i=0; while [ $i -lt 8 ]; do head -c 131072 /dev/zero >> full; i=$((i+1)); sleep 0.2; done; sleep 1000",
    )
    declare(engineless, "web", *command, **limits(disk="512Ki"), enforcement={"disk": {"action": "kill"}})
    engineless.until(lambda: engineless.status("web").get("restarts", 0) >= 2, "it was killed twice")
    assert engineless.status("web")["lastTermination"]["cause"].startswith("disk: ")
    assert reasons(engineless, "web").count("LimitExceeded") >= 1


def test_disk_past_its_limit_stops_until_resume(engineless: RunningDaemon) -> None:
    command = (
        "sh",
        "-c",
        "[ -e full ] || dd if=/dev/zero of=full bs=64k count=64 2>/dev/null; while :; do sleep 0.1; done",
    )
    declare(engineless, "web", *command, **limits(disk="1Mi"))
    engineless.until(lambda: held(engineless, "web") == ["Stopped"], "it is stopped")
    engineless.wait_condition("web", "Ready", "False", "LimitExceeded")
    wait_until(lambda: "pid" not in engineless.status("web"), "no process is left")
    cause = engineless.status("web")["lastTermination"]["cause"]
    assert cause.startswith("disk")
    assert "1Mi" in cause
    engineless.kill()
    engineless.start()
    assert held(engineless, "web") == ["Stopped"], "a hold outlives the daemon"
    (workspace_of(engineless, "web") / "full").write_text("")
    engineless.cli("resume", "web")
    engineless.wait_ready("web")


def test_one_without_a_command_is_killed_by_its_limit_and_says_so(engineless: RunningDaemon) -> None:
    spec = {**limits(disk="1Mi"), "enforcement": {"disk": {"action": "kill"}}, "restartPolicy": "Never"}
    declare(engineless, "web", **spec)
    engineless.wait_ready("web")
    (workspace_of(engineless, "web") / "full").write_bytes(bytes(2 << 20))
    engineless.wait_condition("web", "Finished", "True", "Failed")
    ended = engineless.status("web")["lastTermination"]
    assert (ended["cause"].partition(":")[0], ended["exitCode"]) == ("disk", 137)
    assert "1Mi" in ended["cause"]
    assert "usage" not in engineless.status("web")


def usage(daemon: RunningDaemon, name: str, resource: str) -> int:
    found: int = (daemon.status(name).get("usage") or {}).get(resource, 0)
    return found


def held(daemon: RunningDaemon, name: str) -> list[str]:
    return [hold["type"] for hold in daemon.status(name)["holds"]]


def row(daemon: RunningDaemon, name: str, limit: str) -> str:
    """The limit as read back from the live sandbox."""
    return next(str(row.get("value")) for row in daemon.status(name)["enforcement"] if row["limit"] == limit)
