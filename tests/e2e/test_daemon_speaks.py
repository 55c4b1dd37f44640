"""What the daemon logs and what `plan` says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare, folders_of, limits, lines_of, manifest, pid_of, uid_of

SECRET = "correct-horse-battery-staple"
# What a pass does and meets; the other lines are about the daemon as a whole.
OF_A_PASS = ("operation", "event", "supervisor_started", "pass_panicked", "contract_unread", "log_tail_unread")


@pytest.fixture
def with_secret(tmp_path: Path) -> Iterator[RunningDaemon]:
    (tmp_path / "api").mkdir(mode=0o700)
    file = tmp_path / "api" / "key"
    file.write_text(SECRET)
    file.chmod(0o600)
    with RunningDaemon(None, "--secrets-dir", str(tmp_path)) as daemon:
        yield daemon


def test_every_line_of_a_pass_names_its_sandbox_and_its_pass_and_no_line_a_secret(with_secret: RunningDaemon) -> None:
    daemon = with_secret
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "key"}}}
    declare(daemon, "web", "sh", "-c", "echo $TOKEN; exec sleep 1000", env=[secret])
    declare(daemon, "crash", "sh", "-c", "exit 3", env=[secret])
    declare(daemon, "missing", f"/no/{SECRET}", env=[secret])
    daemon.wait_ready("web")
    daemon.until(lambda: daemon.status("crash").get("restarts", 0) >= 1, "it was restarted")
    daemon.wait_condition("missing", "Ready", "False", "CannotRun")
    assert SECRET in lines_of(daemon, "web"), "the sandbox has it"
    daemon.undeclare("web")
    daemon.wait_gone("web")
    shown = daemon.cli("events").stdout + daemon.metrics() + daemon.cli("plan", check=False).stdout
    shown += json.dumps(daemon.call("GET", "/api/v1/daemon"))
    shown += "".join(json.dumps(daemon.sandbox(name)["status"]["conditions"]) for name in ("crash",))
    assert SECRET not in shown
    lines = [json.loads(line) for line in daemon.logged().splitlines()]
    of_passes = [line for line in lines if line["event"] in OF_A_PASS]
    assert len(of_passes) > 10
    for line in of_passes:
        assert line["sandbox"].startswith("default/"), line
        assert len(line["pass_id"]) == 8, line
    passes = {line["pass_id"]: line["sandbox"] for line in of_passes}
    assert all(passes[line["pass_id"]] == line["sandbox"] for line in of_passes)
    assert SECRET not in daemon.logged()
    store = b"".join(file.read_bytes() for file in daemon.state_dir.glob("*") if file.is_file())
    assert SECRET.encode() not in store.replace(f"/no/{SECRET}".encode(), b"")


def picture(folder: Path) -> dict[str, str]:
    """Every file below a folder by its content, and every folder and link."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "-"
        for path in folder.rglob("*")
        if not path.is_socket()
    }


def test_plan_tells_what_would_change_with_a_daemon_and_without_and_changes_nothing(
    engineless: RunningDaemon,
) -> None:
    declare(engineless, "web", *FOREVER)
    engineless.wait_ready("web")
    pid = pid_of(engineless, "web")
    assert engineless.cli("plan").stdout == "nothing would change\n"
    there = str(engineless.manifests)
    assert engineless.cli("plan", there).returncode == 0
    engineless.stop()
    before = picture(engineless.state_dir)
    for arguments in ((), (there,)):
        engineless.environment["SANDKEEPER_MANIFESTS"] = there
        assert engineless.cli("plan", *arguments).stdout == "nothing would change\n", "without a daemon"
    declare(engineless, "web", *FOREVER, **limits(pids=50), env=[{"name": "A", "value": "1"}])
    engineless.write("new.yaml", manifest("new"))
    engineless.write("bad.yaml", "kind: [\n")
    planned = engineless.cli("plan", there, check=False)
    assert planned.returncode == 1, "a manifest is at fault"
    assert "bad.yaml:2:1" in planned.stderr
    (engineless.manifests / "bad.yaml").unlink()
    planned = engineless.cli("plan", there, check=False)
    assert planned.returncode == 2
    assert "create sandbox default/new" in planned.stdout
    assert "spec.env changed" in planned.stdout
    assert picture(engineless.state_dir) == before
    engineless.start()
    engineless.wait_ready("web", "new")
    engineless.until(lambda: pid_of(engineless, "web") != pid, "it was replaced")
    (engineless.manifests / "new.yaml").unlink()
    (engineless.manifests / "web.yaml").unlink()
    planned = engineless.cli("plan", there, check=False)
    assert planned.returncode in (0, 2)


def test_plan_without_a_daemon_tells_of_what_depends_on_something_that_runs(engineless: RunningDaemon) -> None:
    declare(engineless, "db", *FOREVER)
    declare(engineless, "app", *FOREVER, dependsOn=["db"])
    engineless.wait_ready("db", "app")
    engineless.stop()
    declare(engineless, "app", *FOREVER, dependsOn=["db"], env=[{"name": "A", "value": "1"}])
    planned = engineless.cli("plan", str(engineless.manifests), check=False)
    assert planned.returncode == 2
    assert "create sandbox default/app: spec.env changed" in planned.stdout


@pytest.mark.docker
def test_isolation_changes_on_one_workspace_and_rolls_back_where_the_image_is_missing(daemon: RunningDaemon) -> None:
    declare(daemon, "web", "sh", "-c", "echo directory >> story; exec sleep 1000")
    daemon.wait_ready("web")
    uid, pid = uid_of(daemon, "web"), pid_of(daemon, "web")
    daemon.declare("web", image="no/such:image", imagePullPolicy="Never", command=["true"])
    daemon.until(lambda: "ImageUnavailable" in {event["reason"] for event in daemon.events("web")}, "it is said")
    assert pid_of(daemon, "web") == pid, "the directory runs on"
    assert daemon.status("web")["isolation"] == "directory"
    assert daemon.cli("exec", "web", "--", "true").returncode == 0
    daemon.declare("web", command=["sh", "-c", "echo container >> /workspace/story; exec sleep 1000"])
    daemon.until(lambda: daemon.status("web")["isolation"] == "container", "it is a container")
    daemon.wait_ready("web")
    daemon.until(lambda: folders_of(daemon, uid) == [], "the directory instance is gone")
    declare(daemon, "web", "sh", "-c", "echo again >> story; exec sleep 1000")
    daemon.until(lambda: daemon.status("web")["isolation"] == "directory", "it is a directory")
    daemon.wait_ready("web")
    assert uid_of(daemon, "web") == uid
    told = daemon.cli("exec", "web", "--", "cat", "story").stdout.split()
    assert told == ["directory", "container", "again"]
