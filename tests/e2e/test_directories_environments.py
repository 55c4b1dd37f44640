"""Python environments of directory sandboxes: made by uv from wheels, and only where something needs one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import FOREVER, declare, folders_of, lines_of, manifest, uid_of
from tests.support.wheels import only_from, wheel


@pytest.fixture
def with_wheels(tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon that has two versions of one package at hand, and no index."""
    for version in ("1.0", "2.0"):
        wheel(tmp_path, "greeting", version)
    with RunningDaemon(None, environment=only_from(tmp_path)) as daemon:
        yield daemon


def venvs(daemon: RunningDaemon, name: str) -> list[Path]:
    return [folder / "venv" for folder in folders_of(daemon, uid_of(daemon, name)) if (folder / "venv").exists()]


def test_packages_are_installed_for_the_sandbox_and_changed_by_an_edit(with_wheels: RunningDaemon) -> None:
    daemon = with_wheels
    script = "import greeting, sys, time; print(greeting.VERSION, sys.prefix, flush=True); time.sleep(1000)"
    declare(daemon, "web", "python", "-c", script, packages={"python": ["greeting<2"]})
    daemon.wait_ready("web")
    (venv,) = venvs(daemon, "web")
    daemon.until(lambda: lines_of(daemon, "web") == [f"1.0 {venv}"], "it has the older one")
    assert daemon.cli("exec", "web", "--", "python", "-c", "import greeting; print(greeting.VERSION)").stdout == "1.0\n"
    declare(daemon, "web", "python", "-c", script, packages={"python": ["greeting"]})
    daemon.until(lambda: any(line.startswith("2.0 ") for line in lines_of(daemon, "web")), "it has the newer one")
    daemon.wait_ready("web")
    assert len(venvs(daemon, "web")) == 1


def test_a_skills_packages_are_installed_and_python_is_the_version_that_it_asks_for(with_wheels: RunningDaemon) -> None:
    folder = with_wheels.manifests / "skills/greeter"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: greeter\ndescription: d\n---\n")
    (folder / "requirements.txt").write_text("greeting==1.0\n")
    declare(with_wheels, "web", *FOREVER, skill={"path": "skills/greeter"})
    with_wheels.wait_ready("web")
    telling = ("exec", "web", "--", "python3", "-c", "import greeting; print(greeting.VERSION)")
    assert with_wheels.cli(*telling).stdout == "1.0\n"
    (folder / "requirements.txt").write_text("greeting==2.0\n")
    with_wheels.until(lambda: with_wheels.cli(*telling, check=False).stdout == "2.0\n", "it is replaced")
    with_wheels.wait_ready("web")
    causes = [event["message"] for event in with_wheels.events("web") if event["reason"] == "Created"]
    assert "skill requirements.txt changed" in causes[-1]
    assert "greeting==2.0" in causes[-1]


def test_what_needs_no_environment_gets_none(with_wheels: RunningDaemon) -> None:
    declare(with_wheels, "shell", *FOREVER)
    with_wheels.write("idle.yaml", manifest("idle"))
    declare(with_wheels, "python", "python", "-c", "import time; time.sleep(1000)")
    with_wheels.wait_ready("shell", "idle", "python")
    assert venvs(with_wheels, "shell") == venvs(with_wheels, "idle") == []
    assert len(venvs(with_wheels, "python")) == 1, "its command uses one"


def test_a_package_that_cannot_be_had_is_said_and_the_running_one_stays(with_wheels: RunningDaemon) -> None:
    declare(with_wheels, "web", *FOREVER)
    with_wheels.wait_ready("web")
    pid = with_wheels.status("web")["pid"]
    declare(with_wheels, "web", *FOREVER, packages={"python": ["no-such-package"]})
    with_wheels.until(
        lambda: "EnvironmentFailed" in {event["reason"] for event in with_wheels.events("web")}, "it is said"
    )
    assert "no-such-package" in with_wheels.condition("web", "Degraded")["message"]
    assert with_wheels.status("web")["pid"] == pid
    declare(with_wheels, "web", *FOREVER, packages={"python": ["greeting"]})
    with_wheels.until(lambda: len(venvs(with_wheels, "web")) == 1, "it heals by an edit")
    with_wheels.wait_ready("web")
