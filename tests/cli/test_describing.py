"""describe and explain: all that is known, and why it is so."""

from __future__ import annotations

import dataclasses

from controller.model.conditions import ConditionType
from controller.model.hold import Hold, HoldType
from controller.model.identity import sandbox_key
from controller.model.record import Termination
from tests.cli.conftest import Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import condition, event, sandbox, stopped


def section(text: str, title: str) -> list[str]:
    """The lines of one section, their indentation kept."""
    found = text.split(f"\n{title}:\n")[1].split("\n\n", 1)[0]
    return [line.rstrip() for line in found.splitlines()]


def test_describe_begins_with_the_facts(run: Run, plane: Plane) -> None:
    """One a line; what is absent is left out."""
    plane.views = [sandbox("web", container_id="")]
    facts = dict(line.split(":", 1) for line in run("describe", "web").stdout.split("\n\n")[0].splitlines())
    told = {name: value.strip() for name, value in facts.items()}
    assert told["Name"] == "web"
    assert told["Declared in"] == "web.yaml:1"
    assert told["Status"] == "Running, ready for 5h"
    assert told["Command"] == '["sleep", "1d"]'
    assert told["Generation"] == "3"
    assert "Container" not in told


def test_describe_shows_usage_beside_the_limits(run: Run, plane: Plane) -> None:
    """In units that people read."""
    plane.views = [sandbox("web")]
    assert section(run("describe", "web").stdout, "Usage") == [
        "  RESOURCE   USED   LIMIT   SHARE   P95 (1H)   MEASURED",
        "  memory     34Mi   64Mi    53%     -          0s ago",
        "  cpu        -      500m    -       -          0s ago",
        "  pids       3      128     2%      -          0s ago",
        "  disk       2Mi    1Gi     0%      -          8s ago",
    ]


def test_describe_shows_the_enforcement_contract(run: Run, plane: Plane) -> None:
    """Each limit: how far it is in force, by what, and why."""
    plane.views = [sandbox("web")]
    assert section(run("describe", "web").stdout, "Enforcement") == [
        "  LIMIT    VALUE   STATE      MECHANISM   REASON",
        "  memory   64Mi    Enforced   cgroup v1",
        "  disk     1Gi     Measured   walk        overlay2 has no quota here",
    ]


def test_describe_shows_holds_evidence_and_events(run: Run, plane: Plane) -> None:
    """What keeps it from running, and what it left behind."""
    plane.views = [stopped("job")]
    plane.kept_events = [event(1, name="job")]
    text = run("describe", "job").stdout
    assert "Failed, not ready (LimitExceeded) for 5h" in text
    assert section(text, "Holds")[1] == "  Stopped   5h    edit or resume   memory went past 64Mi"
    evidence = section(text, "Last termination")
    assert evidence[0] == "  cause:   memory limit"
    assert evidence[1] == "  status:  exit 137, signal 9, killed for memory"
    assert evidence[3] == "  samples: 60Mi 5h ago, 64Mi 5h ago (limit 64Mi)"
    assert evidence[4:] == ["  output:", "    allocating", "    Killed"]
    assert section(text, "Events")[1] == "  30m   Normal   Created   created"


def test_describe_traces_a_change_from_the_saved_file(run: Run, plane: Plane) -> None:
    """Each stage as time since the save."""
    plane.views = [sandbox("web")]
    (trace,) = section(run("describe", "web").stdout, "Timings")
    assert trace.endswith("→ seen +0.012s → planned +0.015s → created +0.240s → ready +1.300s")


def test_explain_says_that_all_is_well(run: Run, plane: Plane) -> None:
    """And what is only measured."""
    plane.views = [sandbox("web")]
    plane.plan_lines = list
    assert run("explain", "web").stdout.splitlines() == [
        "default/web is Running, ready for 5h; its manifest wants it Running.",
        "Its disk is only Measured (by walk): overlay2 has no quota here.",
        "Next: nothing; what is there is what is wanted.",
    ]


def test_explain_names_the_hold_and_the_way_out(run: Run, plane: Plane) -> None:
    """From what is known to what can be done; what the hold says is not said again."""
    plane.views = [stopped("job")]
    plane.plan_lines = lambda: ["remove sandbox default/job-2: gone", "start sandbox default/job: a backoff is over"]
    assert run("explain", "job").stdout.splitlines() == [
        "default/job is Failed, not ready for 5h; its manifest wants it Running.",
        "It is held Stopped for 5h: memory went past 64Mi."
        " That ends with an edit of its manifest, or with 'sandkeeper resume default/job'.",
        "It last ended 5h ago with exit 137, killed for memory: memory limit.",
        "Restarts so far: 2, under restartPolicy Always.",
        "Next: start sandbox default/job: a backoff is over.",
    ]


def test_explain_of_a_throttled_orphan(run: Run, plane: Plane) -> None:
    """A hold that ends by itself, and a sandbox that no file declares."""
    hold = Hold(sandbox_key("default", "web"), HoldType.THROTTLED, "cpu above 95%", 0.0, 3, 250)
    view = sandbox("web", holds=(hold,), conditions=(condition(ConditionType.READY, "False", "NotDeclared"),))
    plane.views = [dataclasses.replace(view, desired=None)]
    text = run("explain", "web").stdout
    assert "no file declares it any more" in text
    assert "That ends by itself, when usage falls." in text


def test_output_that_is_no_memory_is_told_as_numbers(run: Run, plane: Plane) -> None:
    """Samples keep no unit."""
    last = Termination("pids", 1, None, False, 0.0, log_tail="")
    plane.views = [sandbox("web", last_termination=last)]
    assert section(run("describe", "web").stdout, "Last termination")[1] == "  status:  exit 1"
