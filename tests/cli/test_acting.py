"""Verbs that change something, and what they say when they may not."""

from __future__ import annotations

from pathlib import Path

import yaml

from controller.model.errors import EngineUnavailableError, StateError, UnknownSandboxError, UsageError
from controller.model.identity import sandbox_key
from controller.resolve.defaults import EMBEDDED
from tests.cli.conftest import Run
from tests.cli.plane import Plane
from tests.cli.sandboxes import sandbox

WEB, API = sandbox_key("default", "web"), sandbox_key("team-a", "api")


def test_each_verb_asks_for_what_it_says(run: Run, plane: Plane) -> None:
    """And tells what is under way."""
    told = [
        run("suspend", "web").stdout,
        run("resume", "team-a/api").stdout,
        run("restart", "api", "-n", "team-a").stdout,
        run("reconcile", "web").stdout,
        run("reconcile").stdout,
        run("delete", "web").stdout,
        run("delete", "--hold", "web").stdout,
    ]
    assert plane.asked == [
        ("suspend", WEB),
        ("resume", API),
        ("restart", API),
        ("reconcile", WEB),
        ("reconcile", None),
        ("delete", WEB, False),
        ("delete", WEB, True),
    ]
    assert told == [
        "default/web: suspended\n",
        "team-a/api: resumed from Suspended\n",
        "team-a/api: restarting\n",
        "default/web: reconciling\n",
        "reconciling everything\n",
        "default/web: deleting\n",
        "default/web: deleting\n",
    ]


def test_several_at_once(run: Run, plane: Plane) -> None:
    """Each in its own namespace."""
    assert run("suspend", "web", "team-a/api").stdout == "default/web: suspended\nteam-a/api: suspended\n"
    assert plane.asked == [("suspend", WEB), ("suspend", API)]


def test_one_that_cannot_be_does_not_hold_up_the_others(run: Run, plane: Plane) -> None:
    """All are asked for; the exit status is that of the worst."""
    plane.failure = UsageError("sandbox default/web is declared in web.yaml:1; remove it there, or use --hold")
    result = run("delete", "web", "team-a/api")
    assert len(plane.asked) == 2
    assert result.exit_code == 64
    assert result.stderr.splitlines()[0] == (
        "error: sandbox default/web is declared in web.yaml:1; remove it there, or use --hold"
    )


def test_what_the_daemon_cannot_do_is_an_error_of_one_line(run: Run, plane: Plane) -> None:
    """Exit 1, not 64: the command line was right."""
    for failure in (EngineUnavailableError("the engine is away: start it"), StateError("the disk is full: make room")):
        plane.failure = failure
        result = run("restart", "web")
        assert (result.exit_code, result.stderr) == (1, f"error: {failure}\n")


def test_an_unknown_name_is_answered_with_the_closest(run: Run, plane: Plane) -> None:
    """As everywhere."""
    plane.views = [sandbox("web")]
    plane.failure = UnknownSandboxError("none")
    result = run("restart", "wbe")
    assert (result.exit_code, result.stderr) == (
        1,
        "error: there is no sandbox default/wbe; did you mean default/web?\n",
    )


def test_restore_prints_the_last_manifest_of_one_that_no_file_declares(run: Run, plane: Plane, tmp_path: Path) -> None:
    """So that one redirection brings back both: it is a valid manifest, and what is for people goes to stderr."""
    document = {"metadata": {"name": "web", "namespace": "default"}, "spec": dict(EMBEDDED)}
    plane.restored = {"uid": "0b9c", "path": "/w/0b9c", "declared": False, "document": document}
    result = run("restore", "web")
    assert result.stderr.splitlines()[0] == "default/web: workspace restored in /w/0b9c"
    (tmp_path / "web.yaml").write_text(result.stdout)
    assert run("validate", str(tmp_path)).exit_code == 0
    assert yaml.safe_load(result.stdout)["spec"]["resources"] == EMBEDDED["resources"]


def test_restore_of_a_declared_one_prints_nothing_to_redirect(run: Run, plane: Plane) -> None:
    """Its manifest is where it was."""
    plane.restored = {"uid": "0b9c", "path": "/w/0b9c", "declared": True, "document": {}}
    assert run("restore", "web").stdout == ""


def test_prune_shows_what_is_held_back_and_how_to_release_it(run: Run, plane: Plane) -> None:
    """Exit 2: something waits to be decided."""
    plane.set_info(prune_reason="4 of 5 sandboxes went", prune_hash="ab12", prune_keys=("default/a", "default/b"))
    result = run("prune")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "held back: 4 of 5 sandboxes went",
        "  default/a",
        "  default/b",
        "release exactly these with: sandkeeper prune --confirm ab12",
    ]
    assert plane.asked == []


def test_prune_with_nothing_held_back(run: Run) -> None:
    """Is no error."""
    result = run("prune")
    assert (result.exit_code, result.stdout) == (0, "no removals are held back\n")


def test_prune_confirm_releases_the_named_set(run: Run, plane: Plane) -> None:
    """Or whatever is held back now."""
    assert run("prune", "--confirm", "ab12").stdout == "default/web: removing\n"
    assert run("prune", "--confirm").exit_code == 0
    assert plane.asked == [("prune", "ab12"), ("prune", None)]
    assert run("prune", "ab12").exit_code == 64
