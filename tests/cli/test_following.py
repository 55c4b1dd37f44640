"""Watching sandboxes and events, and waiting for a condition."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.model.identity import sandbox_key
from controller.model.status import Phase
from controller.report.http import HttpServer
from tests.cli.conftest import Run, Start
from tests.cli.plane import Plane
from tests.cli.sandboxes import condition, event, sandbox

PATIENCE = 20.0
UNREADY = (condition(ConditionType.READY, "False", "Starting", "its command was started"),)


def test_watching_in_a_pipe_prints_what_differs(state_dir: Path, start: Start, plane: Plane) -> None:
    """The table once, then a line for each sandbox that changed or went; usage and age alone are no change."""
    web, api = sandbox("web", phase=Phase.CREATING, conditions=UNREADY), sandbox("api")
    plane.views = [web, api]
    process = start("get", "-w")
    out = process.stdout
    assert out is not None
    assert [out.readline().split()[:3] for _ in range(3)] == [
        ["NAME", "READY", "STATUS"],
        ["web", "False", "Creating"],
        ["api", "True", "Running"],
    ]
    measured = dataclasses.replace(api.status, usage=dataclasses.replace(api.status.usage, pids=9))  # type: ignore[type-var]  # it was measured
    plane.change(sandbox("web"), dataclasses.replace(api, status=measured))
    assert out.readline().split()[:3] == ["web", "True", "Running"]
    plane.change(sandbox("web"))
    assert out.readline().split()[:3] == ["api", "True", "Deleted"]


def test_watching_as_json_is_a_line_a_change(state_dir: Path, start: Start, plane: Plane) -> None:
    """Each a whole document."""
    plane.views = [sandbox("web")]
    process = start("get", "-w", "-o", "json", "web")
    assert process.stdout is not None
    assert [item["metadata"]["name"] for item in json.loads(process.stdout.readline())["items"]] == ["web"]
    plane.change()
    assert json.loads(process.stdout.readline()) == {"items": []}


def test_watching_events_prints_new_ones(state_dir: Path, start: Start, plane: Plane) -> None:
    """After those that were there, though nothing else changes: a warning is an event alone."""
    plane.kept_events = [event(1)]
    process = start("events", "-w", "web")
    out = process.stdout
    assert out is not None
    assert out.readline().split() == ["AGE", "TYPE", "REASON", "MESSAGE"]
    assert out.readline().split()[-1] == "created"
    plane.happen(event(2, name="api", message="elsewhere"))
    plane.happen(event(3, message="started"))
    assert out.readline().split()[-1] == "started"


def test_wait_ends_when_the_condition_is_reached(state_dir: Path, start: Start, plane: Plane) -> None:
    """It learns of the change, it does not ask again and again."""
    plane.views = [sandbox("web", phase=Phase.CREATING, conditions=UNREADY)]
    process = start("wait", "web", "--for=Ready", "--timeout=20s")
    plane.change(sandbox("web"))
    assert process.communicate(timeout=PATIENCE)[0] == "default/web: Ready\n"
    assert process.returncode == 0


@pytest.mark.parametrize("wish", ["Ready", "ready", "condition=Ready", "condition=Ready=True", "phase=Running"])
def test_what_is_so_already_is_not_waited_for(run: Run, plane: Plane, wish: str) -> None:
    """Whatever the case of its letters."""
    plane.views = [sandbox("web")]
    assert run("wait", "web", f"--for={wish}", "--timeout=0s").exit_code == 0


def test_wait_for_a_condition_to_be_false(run: Run, plane: Plane) -> None:
    """By its status."""
    plane.views = [sandbox("web")]
    assert run("wait", "web", "--for=condition=Degraded=False", "--timeout=0s").exit_code == 0
    assert run("wait", "web", "--for=condition=Degraded", "--timeout=0s").exit_code == 1


def test_wait_for_delete(run: Run, plane: Plane) -> None:
    """What does not exist is deleted."""
    plane.views = [sandbox("api")]
    assert run("wait", "web", "--for=delete").exit_code == 0
    assert run("wait", "api", "--for=delete", "--timeout=0s").exit_code == 1


def test_wait_that_runs_out_tells_the_present_condition(run: Run, plane: Plane) -> None:
    """Exit 1, and what it is instead."""
    plane.views = [sandbox("web", phase=Phase.CREATING, conditions=UNREADY)]
    result = run("wait", "web", "--for=Ready", "--timeout=50ms")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: default/web is not Ready after 50ms:"
        " it is Creating, Ready is False (Starting): its command was started\n"
    )


def test_wait_for_one_that_never_appears(run: Run) -> None:
    """It may be about to: that is no error until the time is over."""
    result = run("wait", "web", "--for=Ready", "--timeout=50ms")
    assert result.exit_code == 1
    assert "there is no sandbox default/web" in result.stderr


@pytest.mark.parametrize("wish", ["Rdy", "condition=", "condition=Nope", "phase=", "delete=1"])
def test_what_cannot_be_waited_for(run: Run, wish: str) -> None:
    """Exit 64 at once."""
    assert run("wait", "web", f"--for={wish}").exit_code == 64


def test_key_of_an_event_names_its_sandbox(run: Run, plane: Plane) -> None:
    """Events of the other sandboxes of a namespace are told apart."""
    plane.kept_events = [event(1), dataclasses.replace(event(2), key=sandbox_key("team-a", "api"))]
    assert run("events", "-A").stdout.splitlines()[2].split()[3] == "team-a/api"


@pytest.mark.parametrize("verb", [["get", "-w"], ["events", "-w"], ["wait", "web", "--for=delete"]])
def test_what_follows_a_daemon_ends_with_it(
    state_dir: Path, server: HttpServer, start: Start, plane: Plane, verb: list[str]
) -> None:
    """As an error: what follows is not known any more."""
    plane.views = [sandbox("web")]
    plane.kept_events = [event(1)]
    process = start(*verb)
    assert plane.watched.wait(PATIENCE)
    server.stop()
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert stderr.startswith("error: the daemon")
