"""validate and plan: what is wrong and what would change, without changing anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller import preview
from controller.cli.main import cli
from controller.config import DaemonConfig
from controller.report.protocol import Preview
from tests.cli.conftest import Run
from tests.cli.plane import Plane

GOOD = """\
apiVersion: sandkeeper.dev/v1alpha1
kind: Sandbox
metadata: {name: web}
spec: {image: busybox}
"""
BAD = GOOD.replace("image", "imgae")
HINTED = GOOD.replace("{image: busybox}", "{resources: {limits: {memory: 512M}}}")
Planned = list[tuple[DaemonConfig, bool]]


def alone(*arguments: str) -> Result:
    """A command line without a daemon."""
    return CliRunner().invoke(cli, arguments, prog_name="sandkeeper")


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Planned:
    """The configurations that were planned for without a daemon."""
    asked: Planned = []

    def plan(config: DaemonConfig, draft: bool) -> Preview:
        asked.append((config, draft))
        return Preview(["update sandbox default/web: memory 64Mi → 128Mi"])

    monkeypatch.setattr(preview, "plan_once", plan)
    return asked


def test_a_good_folder_is_valid(tmp_path: Path) -> None:
    """Exit 0."""
    (tmp_path / "web.yaml").write_text(GOOD)
    result = alone("validate", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"no faults in {tmp_path}\n")


def test_every_fault_has_its_place(tmp_path: Path) -> None:
    """file:line:column, as editors and CI understand it; exit 1."""
    (tmp_path / "web.yaml").write_text(BAD)
    (tmp_path / "broken.yaml").write_text("a: [")
    result = alone("validate", str(tmp_path))
    assert result.exit_code == 1
    broken, web = result.stdout.splitlines()
    assert broken.startswith(f"{tmp_path}/broken.yaml:2:1: error: not valid YAML")
    assert web.startswith(f"{tmp_path}/web.yaml:4:8: error: spec.imgae: ")


def test_a_warning_does_not_fail(tmp_path: Path) -> None:
    """It is shown as one."""
    file = tmp_path / "web.yaml"
    file.write_text(HINTED)
    result = alone("validate", str(file))
    assert result.exit_code == 0
    assert ": warning: " in result.stdout


def test_faults_as_json(tmp_path: Path) -> None:
    """For CI that annotates lines."""
    file = tmp_path / "web.yaml"
    file.write_text(BAD)
    result = alone("validate", str(file), "-o", "json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    (fault,) = document["faults"]
    assert document["valid"] is False
    assert (fault["line"], fault["column"], fault["severity"]) == (4, 8, "error")


def test_what_is_valid_does_not_depend_on_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CI is another user than the daemon: which users sandboxes may have is for the daemon to say."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    file = tmp_path / "web.yaml"
    file.write_text(GOOD.replace("busybox", 'busybox, user: "10001:10001"'))
    assert alone("validate", str(file)).exit_code == 0


def test_what_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """Not a silent success."""
    assert alone("validate", str(tmp_path / "none.yaml")).exit_code == 1
    assert alone("validate").exit_code == 64


def test_plan_asks_the_daemon(run: Run, plane: Plane, planned: Planned) -> None:
    """Where one runs and no folder is named; exit 2 for changes."""
    result = run("plan")
    assert (result.exit_code, result.stdout) == (2, "create sandbox default/web: it is declared\n")
    assert planned == []


def test_plan_without_changes(run: Run, plane: Plane) -> None:
    """Exit 0."""
    plane.plan_lines = list
    result = run("plan")
    assert (result.exit_code, result.stdout) == (0, "nothing would change\n")


def test_a_manifest_at_fault_makes_a_plan_incomplete(run: Run, plane: Plane) -> None:
    """Exit 1, the fault on stderr; what the daemon merely warns of does not count."""
    plane.set_info(faults=("web.yaml:5:9: 512M is decimal", "web.yaml:4:8: spec.imgae: is unknown"))
    plane.plan_faults = ("web.yaml:4:8: spec.imgae: is unknown",)
    result = run("plan")
    assert result.exit_code == 1
    assert result.stderr == "error: web.yaml:4:8: spec.imgae: is unknown\n"
    plane.plan_faults = ()
    assert run("plan").exit_code == 2


def test_plan_of_a_named_folder_does_not_ask_the_daemon(run: Run, planned: Planned, tmp_path: Path) -> None:
    """It compares that folder with what is live."""
    result = run("plan", str(tmp_path), "-o", "json")
    assert result.exit_code == 2
    operation = "update sandbox default/web: memory 64Mi → 128Mi"
    assert json.loads(result.stdout) == {"operations": [operation], "faults": []}
    assert [(config.manifests, draft) for config, draft in planned] == [(tmp_path, True)]


def test_plan_without_a_daemon_uses_the_configured_folder(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `run` would."""
    monkeypatch.setenv("SANDKEEPER_MANIFESTS", "/srv/manifests")
    assert alone("plan", "--state-dir", "/nonexistent", "--engine", "unix:///e.sock").exit_code == 2
    ((config, draft),) = planned
    assert (config.manifests, config.engine, draft) == (Path("/srv/manifests"), "unix:///e.sock", False)


def test_a_real_plan_of_a_folder_changes_nothing(tmp_path: Path) -> None:
    """Not even a state folder is made; a warning does not make it incomplete, a fault does."""
    manifests, state_dir = tmp_path / "manifests", tmp_path / "state"
    manifests.mkdir()
    (manifests / "web.yaml").write_text(HINTED.replace("spec: {", "spec: {isolation: directory, "))
    arguments = ["plan", str(manifests), "--state-dir", str(state_dir), "--engine", "unix:///none.sock"]
    result = alone(*arguments)
    assert (result.exit_code, result.stderr) == (2, "")
    assert result.stdout.splitlines()[0].endswith(" sandbox default/web: declared in web.yaml:1")
    assert not state_dir.exists()
    (manifests / "bad.yaml").write_text(BAD)
    assert alone(*arguments).exit_code == 1


def test_a_plan_that_could_not_ask_the_engine_is_incomplete(tmp_path: Path) -> None:
    """It does not pretend that nothing would change."""
    (tmp_path / "web.yaml").write_text(GOOD)
    result = alone("plan", str(tmp_path), "--state-dir", str(tmp_path / "state"), "--engine", "unix:///none.sock")
    assert result.exit_code == 1
    assert result.stdout.startswith("unknown sandbox default/web: EngineDown: there is no engine at /none.sock")
