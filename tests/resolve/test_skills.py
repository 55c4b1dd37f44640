"""What a skill adds to a sandbox, what it cannot be had together with, and how a change of it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model.identity import digest_of, sandbox_key
from controller.model.manifest import Document, FieldFault
from controller.model.python_versions import is_readable, satisfies
from controller.model.skill import SkillFacts
from controller.model.spec import Desired, Mount
from controller.plan.difference import cause_of_change
from controller.resolve.admission import admit
from controller.resolve.defaults import ResolveSettings
from controller.resolve.resolver import resolve

FILES = {"SKILL.md": "1" * 64, "scripts/x.py": "2" * 64}
FACTS = SkillFacts("/root/skills/s", "a" * 64, "s", "d", files=FILES)
SETTINGS = ResolveSettings(skills_folder="/state/skills")


def body(**spec: Any) -> dict[str, Any]:
    return {"kind": "Sandbox", "metadata": {"name": "web"}, "spec": {"skill": {"path": "/root/skills/s"}, **spec}}


def resolved(facts: SkillFacts | None = FACTS, **spec: Any) -> Desired:
    manifest = body(**spec)
    key = sandbox_key("default", "web")
    return resolve(Document(key, manifest, "web.yaml", 1, digest_of(manifest), skill=facts), SETTINGS)


def faults(facts: SkillFacts = FACTS, **spec: Any) -> list[FieldFault]:
    return list(admit(body(**spec), SETTINGS, facts))


def edited(**files: str | None) -> SkillFacts:
    changed = {**FILES, **{name.replace("_", "/"): digest for name, digest in files.items()}}
    kept = {name: digest for name, digest in changed.items() if digest is not None}
    return replace(FACTS, digest="b" * 64, files=kept)


@pytest.mark.parametrize("isolation", ["container", "directory"])
def test_its_files_are_mounted_read_only_by_their_digest(isolation: str) -> None:
    skill = resolved(isolation=isolation).spec.skill
    assert skill is not None
    assert skill.mount == Mount(f"/state/skills/{'a' * 64}", "/skill", read_only=True)


@pytest.mark.parametrize("isolation", ["container", "directory"])
def test_another_content_is_a_replace_and_a_new_generation(isolation: str) -> None:
    before, after = resolved(isolation=isolation), resolved(edited(), isolation=isolation)
    assert before.spec_hash != after.spec_hash
    assert before.resolved_hash != after.resolved_hash


def test_another_place_of_the_same_content_is_no_replace() -> None:
    before, after = resolved(), resolved(replace(FACTS, path="/root/skills/t"))
    assert before.spec_hash == after.spec_hash
    assert before.resolved_hash != after.resolved_hash


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (edited(**{"scripts_x.py": "3" * 64}), "skill scripts/x.py changed"),
        (edited(**{"a.md": "3" * 64}), "skill a.md added"),
        (edited(**{"scripts_x.py": None}), "skill scripts/x.py removed"),
        (replace(FACTS, digest="b" * 64, files={}), f"skill changed (digest {'a' * 12} → {'b' * 12})"),
        (replace(FACTS, digest="b" * 64), f"skill changed (digest {'a' * 12} → {'b' * 12})"),
    ],
)
def test_a_change_names_the_file_where_it_is_known(facts: SkillFacts, cause: str) -> None:
    assert cause_of_change(resolved().template, resolved(facts).template) == cause


def test_a_skill_that_comes_or_goes_is_told() -> None:
    with_it, without = resolved().template, {key: value for key, value in resolved().template.items() if key != "skill"}
    assert cause_of_change(without, with_it) == f"spec.skill added (digest {'a' * 12})"
    assert cause_of_change(with_it, without) == f"spec.skill removed (digest {'a' * 12})"


def test_of_a_large_skill_only_the_digest_is_kept_with_the_sandbox() -> None:
    many = replace(FACTS, files={f"f{number}": "1" * 64 for number in range(101)})
    assert resolved(many).template["skill"] == {"digest": "a" * 64}


def test_the_manifests_packages_win_over_the_skills() -> None:
    facts = replace(FACTS, packages=("Foo_Bar>=1", "requests==2.*", "six"))
    spec = resolved(facts, isolation="directory", packages={"python": ["foo.bar==2", "attrs"]}).spec
    assert spec.packages == ("foo.bar==2", "attrs", "requests==2.*", "six")


def test_the_document_shows_what_was_declared_with_its_default() -> None:
    assert resolved().document["spec"]["skill"] == {"path": "/root/skills/s", "validation": "lenient"}


@pytest.mark.parametrize("isolation", ["container", "directory"])
def test_a_skill_that_needs_packages_has_them_in_either_isolation(isolation: str) -> None:
    assert faults(replace(FACTS, packages=("six",)), isolation=isolation) == []
    assert resolved(replace(FACTS, packages=("six",)), isolation=isolation).spec.packages == ("six",)


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"env": [{"name": "SANDKEEPER_SKILL", "value": "x"}]}, ("spec", "env", 0, "name")),
        ({"workingDir": "/skill"}, ("spec", "workingDir")),
        ({"filesystem": {"tmpfs": {"/skill/tmp": "1Mi"}}}, ("spec", "filesystem", "tmpfs", "/skill/tmp")),
        (
            {"filesystem": {"mounts": [{"source": "/s", "target": "/skill"}]}},
            ("spec", "filesystem", "mounts", 0, "target"),
        ),
    ],
)
def test_what_would_cover_the_skill_is_refused(spec: dict[str, Any], path: tuple[str | int, ...]) -> None:
    assert [fault.path for fault in faults(**spec)] == [path]


@pytest.mark.parametrize(
    ("wanted", "image", "told"),
    [
        ("3.11", "python:3.11-slim", False),
        ("3.10", "python:3.11-slim", False),
        (">=3.10,<3.13", "python:3.12", False),
        ("3.12", "python:3.11-slim", True),
        ("<3.11", "docker.io/library/python:3.11.4-slim", True),
        ("3.12", "ours:latest", False),
        ("three", "python:3.11-slim", True),
    ],
)
def test_a_python_that_the_image_does_not_have_is_told_and_strictly_refused(
    wanted: str, image: str, told: bool
) -> None:
    facts = replace(FACTS, python_version=wanted)
    assert [fault.warning for fault in faults(facts, image=image)] == [True] * told
    strict = faults(facts, image=image, skill={"path": "/root/skills/s", "validation": "strict"})
    assert [fault.warning for fault in strict] == [False] * told


def test_versions() -> None:
    assert satisfies("3.11.7", "3.11")
    assert satisfies("3.13.0rc1", "3.11")
    assert not satisfies("3.10.1", "3.11")
    assert not satisfies("4.0", "3.11")
    assert satisfies("3.11.7", "==3.11.*")
    assert satisfies("2.7", "")
    assert not is_readable("three")
