"""Directory sandboxes from manifest to process and back, over the death of the daemon."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import (
    FOREVER,
    declare,
    folders_of,
    groups_of,
    is_alive,
    limits,
    lines_of,
    manifest,
    pid_of,
    reasons,
    uid_of,
    updatable,
    wait_until,
    workspace_of,
    written,
)

COUNTING = ("sh", "-c", "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done")
WAITING = ("sh", "-c", "echo waiting; until [ -e go ]; do sleep 0.02; done; echo bye; exit 7")
# Each of its processes tries to get away: by a session of its own, and by a double fork with an empty environment.
SCATTERED = (
    "sh",
    "-c",
    "setsid sleep 1000 & echo $! > one; (env -i setsid sh -c 'sleep 1000 & echo $! > two') & "
    "while :; do sleep 0.1; done",
)


def status_of(pid: int) -> dict[str, str]:
    """proc(5): /proc/<pid>/status by field."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.root
def test_a_command_runs_as_a_user_of_its_own(engineless: RunningDaemon) -> None:
    for name in ("one", "two"):
        declare(engineless, name, *FOREVER)
    engineless.wait_ready("one", "two")
    pids = [pid_of(engineless, name) for name in ("one", "two")]
    status = [status_of(pid) for pid in pids]
    users = {each["Uid"].split()[0] for each in status}
    assert len(users) == 2
    assert "0" not in users
    assert all(each["NoNewPrivs"] == "1" and int(each["CapEff"], 16) == 0 for each in status)
    environment = Path(f"/proc/{pids[0]}/environ").read_bytes()
    assert b"DOCKER_HOST" not in environment, "an environment built from nothing"


def test_the_death_of_the_daemon_loses_no_process_no_output_and_no_exit(engineless: RunningDaemon) -> None:
    declare(engineless, "web", *COUNTING)
    declare(engineless, "job", *WAITING, restartPolicy="Never")
    engineless.wait_ready("web", "job")
    web, job = pid_of(engineless, "web"), pid_of(engineless, "job")
    workspace = workspace_of(engineless, "job")
    engineless.kill()
    (workspace / "go").touch()
    wait_until(lambda: not is_alive(job), "the job has ended")
    engineless.start()
    engineless.wait_condition("job", "Finished", "True")
    assert pid_of(engineless, "web") == web
    assert engineless.status("web")["restarts"] == 0
    engineless.wait_ready("web")
    assert engineless.status("job")["lastTermination"]["exitCode"] == 7
    assert lines_of(engineless, "job") == ["waiting", "bye"]
    lines = lines_of(engineless, "web")
    assert lines == [f"line {n}" for n in range(1, len(lines) + 1)], "without a gap"
    before = len(lines)
    engineless.until(lambda: len(lines_of(engineless, "web")) > before, "it writes on")


def test_a_removed_sandbox_leaves_no_process_no_folder_and_no_group(engineless: RunningDaemon) -> None:
    declare(engineless, "web", *SCATTERED)
    engineless.wait_ready("web")
    uid, main, workspace = uid_of(engineless, "web"), pid_of(engineless, "web"), workspace_of(engineless, "web")
    for name in ("one", "two"):
        engineless.until(written(workspace / name), f"{name} runs")
    pids = [main, *(int((workspace / name).read_text()) for name in ("one", "two"))]
    assert all(map(is_alive, pids))
    engineless.undeclare("web")
    engineless.wait_gone("web")
    assert not any(map(is_alive, pids))
    assert folders_of(engineless, uid) == []
    assert groups_of(engineless, uid) == []
    assert 'sandbox="web"' not in engineless.metrics()


def test_exec_and_logs_work_inside(engineless: RunningDaemon) -> None:
    declare(
        engineless,
        "web",
        "sh",
        "-c",
        "echo one; echo two >&2; cat > /dev/null; exec sleep 1000",
        env=[{"name": "COLOUR", "value": "blue"}],
    )
    engineless.wait_ready("web")
    done = engineless.cli(
        "exec",
        "-i",
        "web",
        "--",
        "sh",
        "-c",
        "echo $COLOUR $PWD; id -u; cat; echo no >&2; exit 9",
        check=False,
        stdin="typed\n",
    )
    assert done.returncode == 9
    colour, user, typed = done.stdout.splitlines()
    assert colour == f"blue {workspace_of(engineless, 'web')}"
    assert int(user) != 0 or os.geteuid() != 0
    assert (typed, done.stderr) == ("typed", "no\n")
    engineless.until(lambda: sorted(lines_of(engineless, "web")) == ["one", "two"], "its output is logged")
    assert engineless.cli("exec", "web", "--", "no-such-program", check=False).returncode == 127


def test_a_command_that_is_not_there_cannot_run_until_an_edit(engineless: RunningDaemon) -> None:
    declare(engineless, "web", "/no/such/program")
    engineless.wait_condition("web", "Ready", "False", "CannotRun")
    status = engineless.status("web")
    assert status["phase"] == "Failed"
    assert "No such file" in engineless.condition("web", "Ready")["message"]
    assert status["restarts"] == 0
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")


def test_limits_change_in_place(engineless: RunningDaemon) -> None:
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")
    if "memory" not in updatable(engineless):
        pytest.skip("no control group can be written here")
    pid, uid = pid_of(engineless, "web"), uid_of(engineless, "web")
    for memory, cpu, pids in (("64Mi", "500m", 20), ("256Mi", "1500m", 200)):
        declare(engineless, "web", *FOREVER, **limits(memory=memory, cpu=cpu, pids=pids))
        wanted = {"memory": memory, "cpu": cpu, "pids": str(pids)}
        wait_until(partial(is_enforced, engineless, "web", wanted), f"{wanted} is in force")
        assert pid_of(engineless, "web") == pid
    assert uid_of(engineless, "web") == uid
    assert reasons(engineless, "web").count("Updated") >= 2
    assert "Removed" not in reasons(engineless, "web")


def is_enforced(daemon: RunningDaemon, name: str, wanted: dict[str, str]) -> bool:
    """Whether the contract says that these limits, by resource, are in force."""
    rows = daemon.status(name)["enforcement"]
    return wanted.items() <= {row["limit"]: row.get("value") for row in rows if row["state"] == "Enforced"}.items()


def test_suspend_stops_or_freezes_and_resume_brings_it_back(engineless: RunningDaemon) -> None:
    declare(engineless, "stop", *COUNTING)
    declare(engineless, "freeze", *COUNTING, suspend={"mode": "Freeze"})
    engineless.wait_ready("stop", "freeze")
    stopped, frozen = pid_of(engineless, "stop"), pid_of(engineless, "freeze")
    kept = workspace_of(engineless, "stop") / "kept"
    kept.touch()
    engineless.cli("suspend", "stop", "freeze")
    for name in ("stop", "freeze"):
        engineless.wait_condition(name, "Suspended", "True")
        assert engineless.status(name)["phase"] == "Suspended"
        assert engineless.condition(name, "Ready")["status"] == "False"
    assert not is_alive(stopped)
    assert is_alive(frozen)
    before = lines_of(engineless, "freeze")
    engineless.kill()
    engineless.start()
    engineless.wait_condition("freeze", "Suspended", "True")
    assert lines_of(engineless, "freeze") == before, "it stood still"
    engineless.cli("resume", "stop", "freeze")
    engineless.wait_ready("stop", "freeze")
    assert pid_of(engineless, "freeze") == frozen
    engineless.until(lambda: len(lines_of(engineless, "freeze")) > len(before), "it goes on")
    assert pid_of(engineless, "stop") != stopped
    assert kept.exists()
    assert {"Held", "Released"} <= set(reasons(engineless, "stop"))


def test_a_main_process_killed_from_outside_is_started_again(engineless: RunningDaemon) -> None:
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")
    os.kill(pid_of(engineless, "web"), signal.SIGKILL)
    engineless.until(lambda: engineless.status("web")["restarts"] == 1, "it is started again")
    engineless.wait_ready("web")
    assert engineless.status("web")["lastTermination"]["signal"] == signal.SIGKILL


def test_one_without_a_command_is_restarted_by_hand_whatever_its_policy(engineless: RunningDaemon) -> None:
    for policy in ("Always", "OnFailure", "Never"):
        name = policy.lower()
        declare(engineless, name, restartPolicy=policy)
        engineless.wait_ready(name)
        before = engineless.status(name)["startedAt"]
        engineless.cli("restart", name)
        engineless.until(partial(started_since, engineless, name, before), f"{name} was started again")
        engineless.wait_ready(name)
        assert engineless.status(name)["restarts"] == 1
        assert "restart" in engineless.status(name)["lastTermination"]["cause"]
        assert engineless.condition(name, "Finished")["status"] == "False"


def started_since(daemon: RunningDaemon, name: str, before: str) -> bool:
    status = daemon.status(name)
    return bool(status["phase"] == "Running" and status["startedAt"] != before)


def test_a_folder_removed_by_hand_is_made_again(engineless: RunningDaemon) -> None:
    engineless.write("web.yaml", manifest("web"))
    engineless.wait_ready("web")
    (folder,) = folders_of(engineless, uid_of(engineless, "web"))
    folder.rename(engineless.root / "elsewhere")
    engineless.cli("reconcile")
    engineless.until(lambda: len(folders_of(engineless, uid_of(engineless, "web"))) == 1, "it is made again")
    engineless.wait_ready("web")
