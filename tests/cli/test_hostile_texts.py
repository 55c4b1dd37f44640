"""Texts that sandboxes and manifests chose, on the terminal of the person who looks."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from controller.model.conditions import ConditionType
from controller.model.errors import RuntimeFailure
from controller.model.hold import Hold, HoldType
from controller.model.identity import sandbox_key
from controller.model.record import Termination
from tests.cli.conftest import Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import condition, event, sandbox

# Clears the screen, forges a line at its top, sets the window's title and a colour, turns the writing round.
FORGERY = "\x1b[2J\x1b[1;1HStatus: Running, ready\x1b]0;owned\x07\x9b31m\r\x7f\u202e"


@pytest.fixture
def hostile(plane: Plane) -> Plane:
    """A daemon with that text wherever somebody else chooses the words."""
    now = time.time()
    view = sandbox(
        "web",
        image=FORGERY,
        conditions=(condition(ConditionType.READY, "False", "Exited", FORGERY),),
        holds=(Hold(sandbox_key("default", "web"), HoldType.STOPPED, FORGERY, now, 3),),
        last_termination=Termination(FORGERY, 1, None, False, now, (), f"tab\there\n{FORGERY}"),
    )
    assert view.desired is not None
    metadata = {"name": "web", "namespace": "default", "annotations": {"note": FORGERY}}
    desired = replace(view.desired, document={**view.desired.document, "metadata": metadata}, origin=f"{FORGERY}:1")
    plane.views = [replace(view, desired=desired)]
    plane.kept_events = [event(1, message=FORGERY)]
    plane.plan_lines = lambda: [f"create sandbox default/web: {FORGERY}"]
    plane.plan_faults = (FORGERY,)
    plane.set_info(faults=(FORGERY,), prune_reason=FORGERY, prune_keys=("default/web",))
    return plane


@pytest.mark.parametrize(
    "command",
    [
        "get -o wide",
        "describe web",
        "explain web",
        "events web",
        "plan",
        "prune",
        "wait web --for=Ready --timeout=0s",
    ],
)
def test_no_text_that_others_chose_reaches_the_terminal_as_it_is(run: Run, hostile: Plane, command: str) -> None:
    """It is shown, with what would move the cursor escaped."""
    result = run(*command.split())
    shown = (result.stdout + result.stderr).replace("\n", "")
    assert shown.isprintable()
    assert r"\x1b[2J\x1b[1;1HStatus: Running, ready\x1b]0;owned\x07\x9b31m" in shown


def test_an_error_that_quotes_such_a_text_is_one_line(run: Run, hostile: Plane) -> None:
    """From one verb or from one that goes on with the next name."""
    hostile.failure = RuntimeFailure(f"the engine said:\n{FORGERY}")
    for command in (["exec", "web", "--", "true"], ["restart", "web"]):
        assert run(*command).stderr.startswith(r"error: the engine said:\n\x1b[2J")


def test_a_fault_that_quotes_such_a_text_is_one_line(run: Run, tmp_path: Path) -> None:
    """A manifest from a branch is as little trusted as a sandbox."""
    (tmp_path / "m.yaml").write_text('"\\e[2J": 1\napiVersion: sandkeeper.dev/v1alpha1\nkind: Sandbox\n')
    shown = run("validate", str(tmp_path)).stdout
    assert r"\x1b[2J" in shown
    assert "\x1b" not in shown


def test_the_output_that_a_sandbox_left_keeps_its_columns(run: Run, hostile: Plane) -> None:
    """A tab moves the cursor to where it would have."""
    assert "  tab     here\n" in run("describe", "web").stdout


def test_programs_get_texts_as_they_are(run: Run, hostile: Plane) -> None:
    """JSON and YAML have escapes of their own."""
    assert r"\u001b[2J" in run("get", "-o", "json").stdout
    assert r"\e[2J" in run("get", "-o", "yaml").stdout
