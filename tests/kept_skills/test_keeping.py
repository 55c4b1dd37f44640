"""What is kept of a skill is what it was, can be read by everybody and written by nobody, and goes when unused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from controller.skill.copying import MOST_BYTES, SkillRefused
from controller.skill.store import UNUSED_SECONDS, SkillStore
from tests.support.clock import FakeClock


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    folder = tmp_path / "greeting"
    (folder / "scripts").mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: greeting\ndescription: Greets.\n---\n")
    (folder / "scripts/greet.sh").write_text("echo hello\n")
    (folder / "scripts/greet.sh").chmod(0o700)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> SkillStore:
    return SkillStore(tmp_path / "state/skills", clock=FakeClock())


def test_the_files_are_kept_by_their_digest_whatever_becomes_of_the_skill(skill: Path, store: SkillStore) -> None:
    before = store.read(skill, "lenient").facts
    (skill / "scripts/greet.sh").write_text("echo goodbye\n")
    after = store.read(skill, "lenient").facts
    assert before.digest != after.digest
    assert {path for path in before.files if before.files[path] != after.files[path]} == {"scripts/greet.sh"}
    assert (store.folder / before.digest / "scripts/greet.sh").read_text() == "echo hello\n"
    assert (store.folder / after.digest / "scripts/greet.sh").read_text() == "echo goodbye\n"
    assert sorted(entry.name for entry in store.folder.iterdir()) == sorted([before.digest, after.digest])


def test_everybody_may_read_and_nobody_write(skill: Path, store: SkillStore) -> None:
    (skill / "SKILL.md").chmod(0o600)
    kept = store.folder / store.read(skill, "lenient").facts.digest
    modes = {str(path.relative_to(kept)): stat.S_IMODE(path.stat().st_mode) for path in (kept, *kept.rglob("*"))}
    assert modes == {".": 0o555, "SKILL.md": 0o444, "scripts": 0o555, "scripts/greet.sh": 0o555}
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_what_is_hidden_or_left_by_tools_is_no_part_of_it(skill: Path, store: SkillStore) -> None:
    before = store.read(skill, "lenient").facts
    for name in (".git/index", ".SKILL.md.swp", "SKILL.md~", "scripts/__pycache__/greet.pyc"):
        (skill / name).parent.mkdir(exist_ok=True)
        (skill / name).write_text("x")
    (skill / ".#SKILL.md").symlink_to("nobody@nowhere")
    assert store.read(skill, "lenient").facts == before


def test_links_that_stay_inside_are_what_they_lead_to(skill: Path, store: SkillStore) -> None:
    (skill / "hello").symlink_to("scripts/greet.sh")
    (skill / "tools").symlink_to("scripts")
    facts = store.read(skill, "lenient").facts
    assert set(facts.files) == {"SKILL.md", "hello", "scripts/greet.sh", "tools/greet.sh"}
    assert not any(path.is_symlink() for path in (store.folder / facts.digest).rglob("*"))


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("secret", "/etc/passwd", "leads out of the skill"),
        ("secret", "../other", "leads out of the skill"),
        ("secret", "nowhere", "a link to nothing"),
        ("round", ".", "lies too deep"),
    ],
)
def test_links_that_lead_elsewhere_are_refused_and_nothing_is_kept(
    skill: Path, store: SkillStore, name: str, target: str, words: str
) -> None:
    (skill.parent / "other").write_text("secret")
    (skill / name).symlink_to(target)
    with pytest.raises(SkillRefused, match=words) as refused:
        store.read(skill, "lenient")
    assert str(refused.value).startswith(f"{skill}/")
    assert list(store.folder.iterdir()) == []


def test_a_pipe_and_too_much_are_refused(skill: Path, store: SkillStore) -> None:
    os.mkfifo(skill / "pipe")
    with pytest.raises(SkillRefused, match="neither a file nor a folder"):
        store.read(skill, "lenient")
    (skill / "pipe").unlink()
    with (skill / "large").open("wb") as large:
        large.truncate(MOST_BYTES + 1)
    with pytest.raises(SkillRefused, match="larger than 64 MiB"):
        store.read(skill, "lenient")


def test_a_fault_is_told_of_the_skill_and_not_of_the_copy(skill: Path, store: SkillStore) -> None:
    (skill / "SKILL.md").write_text("---\nname: greeting\n---\n")
    with pytest.raises(SkillRefused) as refused:
        store.read(skill, "strict")
    assert f"{skill}/SKILL.md:" in str(refused.value)
    assert "staged" not in str(refused.value)


def test_what_was_damaged_is_kept_anew_by_the_next_daemon(skill: Path, store: SkillStore) -> None:
    kept = store.folder / store.read(skill, "lenient").facts.digest
    (kept / "scripts/greet.sh").chmod(0o644)
    (kept / "scripts/greet.sh").write_text("")
    SkillStore(store.folder).read(skill, "lenient")
    assert (kept / "scripts/greet.sh").read_text() == "echo hello\n"


def test_unused_files_go_after_an_hour_and_used_ones_stay(skill: Path, store: SkillStore) -> None:
    clock = store.clock
    assert isinstance(clock, FakeClock)
    old = store.read(skill, "lenient").facts.digest
    (skill / "scripts/greet.sh").write_text("echo goodbye\n")
    new = store.read(skill, "lenient").facts.digest
    store.collect({old, new})
    clock.advance(2 * UNUSED_SECONDS)
    store.collect({new})
    clock.advance(UNUSED_SECONDS - 1)
    store.collect({new})
    assert (store.folder / old).is_dir()
    clock.advance(1)
    store.collect({new})
    assert [entry.name for entry in store.folder.iterdir()] == [new]


def test_two_files_of_the_same_text_are_two_skills(tmp_path: Path, store: SkillStore) -> None:
    text = "---\nname: note\ndescription: d\n---\n"
    digests = set()
    for name in ("one.md", "two.md"):
        (tmp_path / name).write_text(text)
        digests.add(store.read(tmp_path / name, "lenient").facts.digest)
    assert len(digests) == 2
