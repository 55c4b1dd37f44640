"""docs/git.md, its commands run against a real repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.cli.test_checking import BAD, GOOD

BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "git.md").read_text(), re.MULTILINE | re.DOTALL)
EXAMPLE_REPOSITORY, EXAMPLE_CHECKOUT = "https://git.example.org/team/sandboxes.git", "/srv/sandboxes"
SECOND = GOOD.replace("name: web", "name: api")


@dataclass(frozen=True)
class Place:
    """A bare repository, a developer's clone of it, and where the documented commands put things."""

    root: Path

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    def git(self, *arguments: str) -> str:
        """A developer's git."""
        where = ["-C", str(self.root / "clone")]
        ended = subprocess.run(["git", *where, *arguments], capture_output=True, text=True, check=True, env=self.env())
        return ended.stdout

    def push(self, *how: str, **files: str | None) -> None:
        """Commit these files (None: removed) and push."""
        for name, text in files.items():
            file = self.root / "clone" / f"{name}.yaml"
            if text is None:
                file.unlink()
            else:
                file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        self.git("push", "--quiet", *how, "origin", "main")

    def run(self, block: str) -> subprocess.CompletedProcess[str]:
        """A block of the document, with this place's paths."""
        script = block.replace(EXAMPLE_REPOSITORY, str(self.root / "bare")).replace(
            EXAMPLE_CHECKOUT, str(self.checkout)
        )
        for folder in ("/etc/", "/usr/local/"):
            script = script.replace(f" {folder}", f" {self.root}{folder}")
        return subprocess.run(
            ["sh", "-euc", script], cwd=ROOT, capture_output=True, text=True, check=False, env=self.env()
        )

    def env(self) -> dict[str, str]:
        """Nobody's configuration but the test's."""
        person = {
            f"GIT_{role}_{what}": "dev@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        nobody = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        return {**os.environ, **person, **nobody, "PATH": f"{self.root}/bin:{os.environ['PATH']}"}

    def declared(self) -> set[str]:
        """The manifests that a daemon would see."""
        return {file.stem for file in self.checkout.glob("*.yaml")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A repository with one valid manifest."""
    programs = {
        "sandkeeper": f'PYTHONPATH={ROOT} exec {sys.executable} -m controller.cli "$@"',
        "systemctl": f'echo "$@" >> {tmp_path}/systemctl',
    }
    for name, command in programs.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{command}\n")
        program.chmod(0o755)
    made = Place(tmp_path)
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "bare")], check=True)
    subprocess.run(["git", "clone", "--quiet", str(tmp_path / "bare"), str(tmp_path / "clone")], check=True)
    made.git("checkout", "--quiet", "-B", "main")
    made.push(web=GOOD)
    return made


def round_by_hand(place: Place) -> subprocess.CompletedProcess[str]:
    """The first block of the document."""
    return place.run(BLOCKS[0])


def test_rounds_follow_the_branch(place: Place) -> None:
    """The first makes the checkout, later ones add and remove what commits do."""
    assert round_by_hand(place).returncode == 0
    assert place.declared() == {"web"}
    place.push(api=SECOND, web=None)
    assert round_by_hand(place).returncode == 0
    assert place.declared() == {"api"}
    assert round_by_hand(place).returncode == 0


def test_a_commit_with_a_fault_changes_nothing(place: Place) -> None:
    """The fault is named with its place; the next valid commit goes through."""
    round_by_hand(place)
    place.push(web=BAD, api=SECOND)
    ended = round_by_hand(place)
    assert ended.returncode == 1
    assert "/web.yaml:4:8: error: spec.imgae: " in ended.stdout
    assert place.declared() == {"web"}
    place.push(web=GOOD)
    assert round_by_hand(place).returncode == 0
    assert place.declared() == {"web", "api"}


def test_a_rewritten_branch_waits_for_a_person(place: Place) -> None:
    """Who accepts it with the last block of the document."""
    place.push(api=SECOND)
    round_by_hand(place)
    place.git("reset", "--quiet", "--hard", "HEAD~1")
    place.push("--force", other=GOOD.replace("name: web", "name: other"))
    refused = round_by_hand(place)
    assert refused.returncode != 0
    assert "fast-forward" in refused.stderr
    assert place.declared() == {"web", "api"}
    accepted = place.run(f"CHECKOUT={place.checkout}\n{BLOCKS[2]}")
    assert accepted.returncode == 0, accepted.stderr
    assert place.declared() == {"web", "other"}
    assert round_by_hand(place).returncode == 0


@pytest.mark.root
def test_root_accepts_a_rewritten_branch_as_the_user_whose_checkout_it_is(place: Place) -> None:
    place.push(api=SECOND)
    round_by_hand(place)
    place.git("reset", "--quiet", "--hard", "HEAD~1")
    place.push("--force", other=GOOD.replace("name: web", "name: other"))
    round_by_hand(place)
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        checkout = Path(open_to_all) / "checkout"
        shutil.copytree(place.checkout, checkout)
        subprocess.run(["chown", "-R", "61234:61234", str(checkout)], check=True)
        accepted = place.run(f"CHECKOUT={checkout}\n{BLOCKS[3]}\n{BLOCKS[2]}")
        assert accepted.returncode == 0, accepted.stderr
        assert {file.stem for file in checkout.glob("*.yaml")} == {"web", "other"}
        assert {file.stat().st_uid for file in checkout.rglob("*")} == {61234}


def test_what_a_manifest_mounts_from_the_checkout_can_be_read_by_its_sandbox(place: Place) -> None:
    unit = (ROOT / "deploy" / "systemd" / "sandkeeper-git.service").read_text()
    umask = re.search(r"^UMask=(.*)$", unit, re.MULTILINE)
    assert umask is not None
    place.run(f"umask {umask[1]}\n{BLOCKS[0]}")
    assert (place.checkout / "web.yaml").stat().st_mode & 0o777 == 0o644
    assert place.checkout.stat().st_mode & 0o777 == 0o755


def test_an_edited_checkout_is_not_overwritten(place: Place) -> None:
    """Somebody's work is theirs."""
    round_by_hand(place)
    (place.checkout / "web.yaml").write_text("mine")
    place.push(web=GOOD.replace("busybox", "alpine"))
    assert round_by_hand(place).returncode != 0
    assert (place.checkout / "web.yaml").read_text() == "mine"


def test_a_repository_that_is_away_changes_nothing(place: Place) -> None:
    """The next round tries again."""
    round_by_hand(place)
    (place.root / "bare").rename(place.root / "away")
    assert round_by_hand(place).returncode != 0
    assert place.declared() == {"web"}


def test_nothing_is_left_of_a_trial(place: Place, tmp_path: Path) -> None:
    """Whether it succeeded or not."""
    trials = tmp_path / "trials"
    trials.mkdir()
    place.push(web=BAD)
    place.run(f"export TMPDIR={trials}\n{BLOCKS[0]}")
    assert list(trials.iterdir()) == []


def test_the_service_is_installed_as_documented(place: Place) -> None:
    """The commands put each file where the units look for it; the service's own round works from its variables."""
    for folder in ("etc/systemd/system", "etc/default", "usr/local/lib"):
        (place.root / folder).mkdir(parents=True)
    installed = place.run(BLOCKS[1])
    assert installed.returncode == 0, installed.stderr
    assert (place.root / "systemctl").read_text().splitlines() == [
        "daemon-reload",
        "enable --now sandkeeper-git.timer",
        "restart sandkeeper",
    ]
    unit = (place.root / "etc/systemd/system/sandkeeper-git.service").read_text()
    program = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert program is not None
    variables = dict(
        line.split("=", 1) for line in (place.root / "etc/default/sandkeeper-git").read_text().splitlines()
    )
    environment = {**place.env(), **variables, "STATE_DIRECTORY": str(place.root)}
    subprocess.run([f"{place.root}{program[1]}"], env=environment, check=True)
    assert place.declared() == {"web"}
