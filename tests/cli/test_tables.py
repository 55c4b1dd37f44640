"""Tables in a pipe: aligned plain text, whole words, nothing drawn."""

from __future__ import annotations

from dataclasses import replace

from controller.model.conditions import ConditionType
from controller.model.spec import Limits
from tests.cli.conftest import Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import condition, event, sandbox, stopped


def lines(text: str) -> list[str]:
    """The lines without what pads them."""
    return [line.rstrip() for line in text.splitlines()]


def test_get_lists_the_default_namespace(run: Run, plane: Plane) -> None:
    """One line a sandbox: whether it is ready, what it is doing, what it uses, and why where all is not well."""
    plane.views = [stopped("job"), sandbox("web"), sandbox("api", "team-a")]
    assert lines(run("get").stdout) == [
        "NAME   READY   STATUS    ISOLATION   RESTARTS   MEMORY      CPU   AGE   REASON",
        "job    False   Failed    container   2          -           -     5h    LimitExceeded",
        "web    True    Running   container   0          34Mi/64Mi   -     5h",
    ]


def test_limits_are_those_in_force_until_a_smaller_one_can_be(run: Run, plane: Plane) -> None:
    """As the metrics and the page show them: usage is never more than what it is held to."""
    lowered = sandbox("web")
    held = replace(lowered.record, applied=Limits(memory=128 << 20, cpu=500, pids=12))
    plane.views = [replace(lowered, record=held)]
    assert "34Mi/128Mi" in run("get").stdout
    assert lines(run("top").stdout)[1].split()[3:7] == ["34Mi", "27%", "3", "25%"]
    assert "memory     34Mi   128Mi   27%" in run("describe", "web").stdout


def test_get_of_every_namespace_names_them(run: Run, plane: Plane) -> None:
    """As kubectl does."""
    plane.views = [sandbox("web"), sandbox("api", "team-a")]
    assert lines(run("get", "-A").stdout) == [
        "NAMESPACE   NAME   READY   STATUS    ISOLATION   RESTARTS   MEMORY      CPU   AGE   REASON",
        "default     web    True    Running   container   0          34Mi/64Mi   -     5h",
        "team-a      api    True    Running   container   0          34Mi/64Mi   -     5h",
    ]


def test_get_wide_adds_what_identifies_it(run: Run, plane: Plane) -> None:
    """Image, uid, pid, container and the generations."""
    plane.views = [sandbox("web")]
    header, row = lines(run("get", "-o", "wide").stdout)
    assert header.split()[8:] == ["PIDS", "PID", "IMAGE", "GENERATION", "UID", "CONTAINER", "REASON"]
    assert row.split()[8:] == ["3", "4711", "busybox", "3/3", "6f0a3c52-8f43-4b7e-9d0e-0d9a4f0c2b11", "4c1f0e9d2b7a"]


def test_a_degraded_sandbox_that_is_ready_says_why(run: Run, plane: Plane) -> None:
    """Its reason is the one of Degraded."""
    ready = condition(ConditionType.READY, "True", "Alive")
    degraded = condition(ConditionType.DEGRADED, "True", "Fallback")
    plane.views = [sandbox("web", conditions=(ready, degraded))]
    assert lines(run("get").stdout)[1].split()[-1] == "Fallback"


def test_a_sandbox_that_runs_on_its_last_good_manifest_says_so(run: Run, plane: Plane) -> None:
    """Its reason is the one of Accepted."""
    ready = condition(ConditionType.READY, "True", "Alive")
    accepted = condition(ConditionType.ACCEPTED, "False", "InvalidManifest")
    plane.views = [sandbox("web", conditions=(accepted, ready))]
    assert lines(run("get").stdout)[1].split()[-1] == "InvalidManifest"


def test_names_longer_than_any_terminal_are_not_cut(run: Run, plane: Plane) -> None:
    """A pipe has no width."""
    name = "x" * 63
    plane.views = [sandbox(name), sandbox("y" * 63)]
    assert name in run("get", "-o", "wide").stdout


def test_an_empty_namespace_says_so_beside_the_output(run: Run, plane: Plane) -> None:
    """Stdout stays empty for scripts, and the exit status is 0."""
    plane.views = [sandbox("api", "team-a")]
    result = run("get")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == "no sandboxes in namespace default; -A shows the 1 of other namespaces\n"


def test_top_sorts_by_the_greatest(run: Run, plane: Plane) -> None:
    """What was not measured comes last."""
    plane.views = [stopped("job"), sandbox("web")]
    assert lines(run("top", "--sort", "memory").stdout) == [
        "NAME   CPU   CPU%   MEMORY   MEMORY%   PIDS   PIDS%   DISK   DISK%   MEASURED",
        "web    -     -      34Mi     53%       3      2%      2Mi    0%      0s ago",
        "job    -     -      -        -         -      -       -      -       -",
    ]


def test_events_collapse_repeats(run: Run, plane: Plane) -> None:
    """How often and over how long."""
    plane.kept_events = [event(1), event(2, message="pulled", count=3)]
    assert lines(run("events").stdout) == [
        "AGE   TYPE     REASON    SANDBOX       MESSAGE",
        "30m   Normal   Created   default/web   created",
        "30m   Normal   Created   default/web   pulled (x3 over 2m)",
    ]


def test_events_of_one_sandbox_do_not_repeat_its_name(run: Run, plane: Plane) -> None:
    """Its name was said on the command line."""
    plane.kept_events = [event(1), event(2, name="api")]
    assert lines(run("events", "web").stdout) == [
        "AGE   TYPE     REASON    MESSAGE",
        "30m   Normal   Created   created",
    ]


def test_notices_go_to_stderr(run: Run, plane: Plane) -> None:
    """What is wrong with the whole stands beside any listing, and does not disturb a script."""
    plane.views = [sandbox("web")]
    plane.set_info(prune_reason="the folder is empty", prune_keys=("default/web",), faults=("a.yaml:1:1: bad",) * 7)
    result = run("get")
    assert len(lines(result.stdout)) == 2
    assert lines(result.stderr) == [
        "note: 1 removal is held back: the folder is empty; see 'sandkeeper prune'",
        *["note: a.yaml:1:1: bad"] * 5,
        "note: and 2 more faults; see 'sandkeeper validate /srv/manifests'",
    ]
