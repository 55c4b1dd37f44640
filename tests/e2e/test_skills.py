"""Skills in manifests, with a real daemon: what the sandbox sees of one, and what becomes of it when it is edited."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.containers import told
from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, manifest, pid_of, workspace_of

DIRECTORY: dict[str, Any] = {"isolation": "directory", "command": list(FOREVER)}
CONTAINER: dict[str, Any] = {"isolation": "container", "image": "busybox:latest", "command": list(FOREVER)}


def skill(folder: Path, description: str = "Greets.") -> Path:
    """A skill with one script in a folder, written beside and moved into place."""
    beside = folder.with_name(f".{folder.name}.new") / folder.name
    (beside / "scripts").mkdir(parents=True)
    front = f"---\nname: {folder.name}\ndescription: {description}\n---\n\nRun scripts/greet.sh.\n"
    (beside / "SKILL.md").write_text(front)
    (beside / "scripts/greet.sh").write_text("#!/bin/sh\necho hello\n")
    (beside / "scripts/greet.sh").chmod(0o755)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside.rename(folder)
    beside.parent.rmdir()
    return folder


def declare(daemon: RunningDaemon, name: str, path: str, **spec: Any) -> None:
    """Declare a sandbox with a skill."""
    command = spec.pop("command")
    if spec["isolation"] == "directory":
        daemon.write(f"{name}.yaml", manifest(name, *command, skill={"path": path}))
    else:
        daemon.declare(name, command=command, skill={"path": path}, **spec)


def inside(daemon: RunningDaemon, name: str, script: str) -> str:
    """What a shell in the sandbox prints, errors included."""
    return daemon.cli("exec", name, "--", "sh", "-c", f"{{ {script}; }} 2>&1", check=False).stdout


def check_inside(daemon: RunningDaemon, name: str) -> None:
    """The skill is at its place, and nothing of it can be written."""
    assert inside(daemon, name, '"$SANDKEEPER_SKILL/scripts/greet.sh"') == "hello\n"
    place = inside(daemon, name, "echo $SANDKEEPER_SKILL").strip()
    for attempt in ("echo x > {}/scripts/greet.sh", "touch {}/new", "rm -f {}/SKILL.md", "chmod 777 {}/scripts"):
        inside(daemon, name, attempt.format(place))
    assert inside(daemon, name, f"cat {place}/scripts/greet.sh") == "#!/bin/sh\necho hello\n"
    assert inside(daemon, name, f"ls {place}") == "SKILL.md\nscripts\n"


def test_a_directory_sandbox_has_its_skill_and_cannot_write_it(engineless: RunningDaemon) -> None:
    skill(engineless.manifests / "skills/greeting")
    declare(engineless, "web", "skills/greeting", **DIRECTORY)
    engineless.wait_ready("web")
    place = inside(engineless, "web", "echo $SANDKEEPER_SKILL").strip()
    if os.geteuid() == 0:
        check_inside(engineless, "web")
        assert place == "/skill"
        assert not Path("/skill").exists(), "the machine's root has none"
        assert inside(engineless, "web", "mkdir /other") != "", "nor can anything else be made in it"
        (row,) = [row for row in engineless.status("web")["enforcement"] if row["limit"] == "skill"]
        assert row["state"] == "Enforced"
    assert engineless.status("web")["skill"]["name"] == "greeting"
    shown = engineless.cli("describe", "web").stdout
    assert "greeting" in shown
    assert "Greets." in shown


@pytest.mark.docker
def test_a_container_has_its_skill_and_cannot_write_it(daemon: RunningDaemon) -> None:
    skill(daemon.manifests / "skills/greeting")
    declare(daemon, "web", "skills/greeting", **CONTAINER)
    daemon.wait_ready("web")
    assert inside(daemon, "web", "echo $SANDKEEPER_SKILL") == "/skill\n"
    check_inside(daemon, "web")
    (row,) = [row for row in daemon.status("web")["enforcement"] if row["limit"] == "skill"]
    assert (row["state"], row["value"]) == ("Enforced", "read-only")


def test_an_edited_script_replaces_the_sandbox_and_says_so(engineless: RunningDaemon) -> None:
    folder = skill(engineless.manifests / "skills/greeting")
    declare(engineless, "web", "skills/greeting", **DIRECTORY)
    engineless.wait_ready("web")
    before, kept = pid_of(engineless, "web"), workspace_of(engineless, "web") / "kept"
    kept.touch()
    (folder / "scripts/greet.sh").write_text("#!/bin/sh\necho goodbye\n")
    engineless.until(lambda: engineless.status("web").get("pid") not in (None, before), "it is replaced")
    engineless.wait_ready("web")
    assert any("skill scripts/greet.sh changed" in message for message in told(engineless, "web", "Created"))
    assert inside(engineless, "web", '"$SANDKEEPER_SKILL/scripts/greet.sh"') == "goodbye\n"
    assert kept.exists()
    assert engineless.sandbox("web")["metadata"]["generation"] == 2


def test_an_edit_outside_of_the_watched_folder_is_seen_under_an_allowed_path(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = skill(tmp_path / "elsewhere/greeting")
    with RunningDaemon(None, "--allow-path", str(tmp_path / "elsewhere")) as daemon:
        declare(daemon, "web", str(folder), **DIRECTORY)
        daemon.wait_ready("web")
        before = pid_of(daemon, "web")
        (folder / "scripts/greet.sh").write_text("#!/bin/sh\necho goodbye\n")
        daemon.until(lambda: daemon.status("web").get("pid") not in (None, before), "it is replaced", 10)
        declare(daemon, "other", str(tmp_path), **DIRECTORY)
        daemon.until(lambda: "outside the watched folder" in str(daemon.call("GET", "/api/v1/daemon")), "it is refused")
        assert "other" not in daemon.sandboxes()


def test_a_broken_edit_keeps_the_last_good_skill_and_names_its_place(engineless: RunningDaemon) -> None:
    folder = skill(engineless.manifests / "skills/greeting")
    declare(engineless, "web", "skills/greeting", **DIRECTORY)
    engineless.wait_ready("web")
    before = pid_of(engineless, "web")
    text = (folder / "SKILL.md").read_text()
    (folder / "SKILL.md").write_text("---\nname: [\n---\n")
    (folder / "scripts/greet.sh").write_text("#!/bin/sh\necho broken\n")
    engineless.wait_condition("web", "Accepted", "False", "InvalidManifest")
    message = engineless.condition("web", "Accepted")["message"]
    assert message.startswith("web.yaml:")
    assert f"{folder}/SKILL.md:" in message
    assert pid_of(engineless, "web") == before
    assert engineless.condition("web", "Ready")["status"] == "True"
    assert inside(engineless, "web", '"$SANDKEEPER_SKILL/scripts/greet.sh"') == "hello\n"
    engineless.stop()
    engineless.start()
    engineless.wait_condition("web", "Accepted", "False", "InvalidManifest")
    assert pid_of(engineless, "web") == before, "over a restart of the daemon too"
    engineless.cli("restart", "web")
    engineless.until(lambda: engineless.status("web").get("pid") not in (None, before), "it is started again")
    assert inside(engineless, "web", '"$SANDKEEPER_SKILL/scripts/greet.sh"') == "hello\n", "from the files it had"
    (folder / "SKILL.md").write_text(text)
    engineless.wait_condition("web", "Accepted", "True")
    engineless.until(
        lambda: inside(engineless, "web", '"$SANDKEEPER_SKILL/scripts/greet.sh"') == "broken\n", "it is replaced"
    )


def test_a_deleted_skill_takes_no_sandbox_down(engineless: RunningDaemon) -> None:
    folder = skill(engineless.manifests / "skills/greeting")
    declare(engineless, "web", "skills/greeting", **DIRECTORY)
    engineless.wait_ready("web")
    before = pid_of(engineless, "web")
    shutil.rmtree(folder)
    engineless.wait_condition("web", "Accepted", "False", "InvalidManifest")
    assert "does not exist" in engineless.condition("web", "Accepted")["message"]
    assert pid_of(engineless, "web") == before
    assert inside(engineless, "web", '"$SANDKEEPER_SKILL/scripts/greet.sh"') == "hello\n"
    skill(folder)
    engineless.wait_condition("web", "Accepted", "True")
    assert pid_of(engineless, "web") == before, "the same skill: nothing to replace"


@pytest.mark.docker
def test_a_container_goes_on_with_the_files_that_it_was_started_with(daemon: RunningDaemon) -> None:
    folder = skill(daemon.manifests / "skills/greeting")
    declare(daemon, "web", "skills/greeting", **CONTAINER)
    daemon.wait_ready("web")
    (folder / "scripts/greet.sh").write_text("#!/bin/sh\necho goodbye\n")
    (folder / "SKILL.md").unlink()
    daemon.wait_condition("web", "Accepted", "False", "InvalidManifest")
    assert inside(daemon, "web", "/skill/scripts/greet.sh") == "hello\n"
    daemon.cli("restart", "web")
    daemon.until(lambda: daemon.status("web")["restarts"] == 1, "it is started again")
    daemon.wait_ready("web")
    assert inside(daemon, "web", "/skill/scripts/greet.sh") == "hello\n"


@pytest.mark.docker
@pytest.mark.root
def test_another_isolation_keeps_the_skill_and_the_workspace(daemon: RunningDaemon) -> None:
    skill(daemon.manifests / "skills/greeting")
    declare(daemon, "web", "skills/greeting", **DIRECTORY)
    daemon.wait_ready("web")
    inside(daemon, "web", "echo mine > kept")
    for spec, seen in ((CONTAINER, "container"), (DIRECTORY, "directory")):
        declare(daemon, "web", "skills/greeting", **spec)
        daemon.until(partial(is_a, daemon, seen), f"it is a {seen}")
        daemon.wait_ready("web")
        check_inside(daemon, "web")
        assert inside(daemon, "web", "cat kept") == "mine\n"


def is_a(daemon: RunningDaemon, isolation: str) -> bool:
    return bool(daemon.status("web").get("isolation") == isolation)


def test_a_plan_knows_of_an_edited_skill_with_and_without_a_daemon(engineless: RunningDaemon) -> None:
    folder = skill(engineless.manifests / "skills/greeting")
    declare(engineless, "web", "skills/greeting", **DIRECTORY)
    engineless.wait_ready("web")
    folder_of_plan = ("plan", str(engineless.manifests))
    assert engineless.cli(*folder_of_plan).stdout == "nothing would change\n"
    engineless.stop()
    (folder / "scripts/greet.sh").write_text("#!/bin/sh\necho goodbye\n")
    planned = engineless.cli(*folder_of_plan, check=False)
    assert planned.returncode == 2
    assert "skill scripts/greet.sh changed" in planned.stdout
    engineless.start()
    engineless.until(
        lambda: inside(engineless, "web", '"$SANDKEEPER_SKILL/scripts/greet.sh"') == "goodbye\n", "it is replaced"
    )
    engineless.wait_ready("web")
    assert engineless.cli("plan").stdout == "nothing would change\n"
