"""The daemon dies at any moment; its containers live on and are found again."""

from __future__ import annotations

import pytest

from tests.e2e.containers import Outside, counted, sh
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import workspace_of

pytestmark = pytest.mark.docker


def test_a_killed_daemon_finds_the_same_containers_again(daemon: RunningDaemon, outside: Outside) -> None:
    daemon.declare("running")
    daemon.declare("frozen", suspend={"mode": "Freeze"}, operatingMode="Suspended")
    daemon.declare("done", command=["sh", "-c", "echo words; exit 0"], restartPolicy="Never")
    daemon.declare("suspended")
    daemon.wait_ready("running", "suspended")
    daemon.cli("suspend", "suspended")
    daemon.wait_condition("suspended", "Suspended", "True")
    daemon.wait_condition("done", "Finished", "True")
    daemon.wait_condition("frozen", "Suspended", "True")
    names = ("running", "frozen", "done", "suspended")
    before = {name: (outside.of(name)[0]["Id"], outside.of(name)[0]["State"]["Pid"]) for name in ("running", "done")}
    uids = {name: daemon.sandbox(name)["metadata"]["uid"] for name in names}
    daemon.kill()
    assert outside.is_running(before["running"][0])
    daemon.start()
    daemon.wait_ready("running")
    daemon.wait_condition("frozen", "Suspended", "True")
    after = {name: (outside.of(name)[0]["Id"], outside.of(name)[0]["State"]["Pid"]) for name in ("running", "done")}
    assert after == before
    assert {name: daemon.sandbox(name)["metadata"]["uid"] for name in names} == uids
    assert daemon.status("running")["restarts"] == 0
    assert daemon.status("suspended")["phase"] == "Suspended"
    assert daemon.status("done")["phase"] == "Succeeded"
    assert daemon.cli("logs", "done").stdout == "words\n"
    assert counted(daemon, "running", "Started") == 1
    assert daemon.cli("plan").returncode == 0


def test_what_ended_while_the_daemon_was_away_is_accounted_for(daemon: RunningDaemon, outside: Outside) -> None:
    script = "while [ ! -e /workspace/go ]; do sleep 0.1; done; echo gone; exit 7"
    daemon.declare("job", command=["sh", "-c", script], restartPolicy="Never")
    daemon.wait_ready("job")
    container, workspace = outside.inspect("job")["Id"], workspace_of(daemon, "job")
    daemon.kill()
    workspace.joinpath("go").touch()
    outside.client.api.wait(container)
    daemon.start()
    daemon.wait_condition("job", "Finished", "True", "Failed")
    last = daemon.status("job")["lastTermination"]
    assert (last["exitCode"], last["cause"]) == (7, "exited with status 7")
    assert daemon.cli("logs", "job").stdout == "gone\n"


def test_a_daemon_killed_in_a_storm_of_creates_converges_without_duplicates(
    daemon: RunningDaemon, outside: Outside
) -> None:
    names = [f"storm-{number}" for number in range(20)]
    for name in names:
        daemon.declare(name, resources={"limits": {"memory": "32Mi"}})
    daemon.until(lambda: outside.count() >= 3, "three containers are there")
    daemon.kill()
    daemon.start()
    daemon.until(lambda: outside.count() >= 10, "ten containers are there")
    daemon.kill()
    daemon.start()
    daemon.wait_ready(*names)
    found = outside.containers()
    assert sorted(info["Config"]["Labels"]["sandkeeper.dev/name"] for info in found) == sorted(names)
    assert all(info["State"]["Running"] for info in found)
    uids = {item["metadata"]["uid"] for item in daemon.sandboxes().values()}
    assert {info["Config"]["Labels"]["sandkeeper.dev/uid"] for info in found} == uids
    assert {path.name for path in (daemon.state_dir / "workspaces").iterdir()} == uids
    assert daemon.cli("plan").returncode == 0
    for name in names:
        daemon.undeclare(name)
    daemon.cli("reconcile")
    daemon.until(
        lambda: "prune --confirm" in daemon.cli("prune", check=False).stdout, "the guard holds the removals back"
    )
    daemon.cli("prune", "--confirm")
    daemon.until(lambda: outside.containers() == [], "all are gone")


def test_a_daemon_killed_in_the_middle_of_a_replacement_finishes_it(daemon: RunningDaemon, outside: Outside) -> None:
    daemon.declare("web")
    daemon.wait_ready("web")
    sh(daemon, "web", "touch /workspace/file")
    old = outside.inspect("web")["Id"]
    daemon.declare("web", command=["sleep", "1234"])
    daemon.until(lambda: len(outside.of("web")) == 2, "the replacement is under way")
    daemon.kill()
    daemon.start()
    outside.wait_replaced("web", old)
    daemon.wait_ready("web")
    assert outside.only_of("web")["Config"]["Entrypoint"] == ["sleep", "1234"]
    assert sh(daemon, "web", "ls /workspace") == "file\n"
