"""The files of a skill are kept while anything wanted, remembered or seen may need them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from controller.loop.skill_usage import SkillUsage
from controller.model.manifest import Document
from controller.model.skill import SkillFacts
from tests.loop.harness import Harness, document


class Asked:
    """Takes note of what it is told to keep."""

    def __init__(self) -> None:
        self.used: list[Collection[str]] = []

    def collect(self, used: Collection[str]) -> None:
        self.used.append(used)


def with_skill(name: str, digest: str, **spec: object) -> Document:
    plain = document(name, skill={"path": "/s"}, **spec)
    return replace(plain, digest=f"{plain.digest}-{digest}", skill=SkillFacts("/s", digest))


def test_what_a_manifest_names_and_what_a_predecessor_was_made_from_is_kept(tmp_path: Path) -> None:
    harness, asked = Harness(tmp_path), Asked()
    usage = SkillUsage(harness.world, {"docker": harness.docker, "directory": harness.directory}, asked)
    harness.declare(with_skill("web", "one"))
    harness.advance(2)
    usage.tidy()
    harness.declare(with_skill("web", "two"))
    usage.tidy()
    harness.advance(60)
    usage.tidy()
    assert [sorted(used) for used in asked.used] == [["one"], ["one", "two"], ["two"]]


def test_while_an_engine_is_away_that_may_have_an_instance_nothing_is_given_up(tmp_path: Path) -> None:
    harness, asked = Harness(tmp_path), Asked()
    usage = SkillUsage(harness.world, {"docker": harness.docker, "directory": harness.directory}, asked)
    harness.docker.available = False
    harness.declare(with_skill("plain", "one", isolation="directory"))
    usage.tidy()
    assert len(asked.used) == 1, "what concerns no engine waits for none"
    harness.declare(with_skill("plain", "one", isolation="directory"), with_skill("web", "two"))
    usage.tidy()
    assert len(asked.used) == 1


def test_the_last_good_skill_is_remembered_over_a_restart(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.declare(with_skill("web", "one"))
    harness.advance(2)
    harness.restart()
    assert harness.entry("web").record.skill == SkillFacts("/s", "one")
