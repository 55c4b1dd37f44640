"""Skills that manifests name, in a watched folder and beside it: read once they rest, and never as manifests."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.model.clock import SystemClock
from controller.model.errors import DiskFullError, SandkeeperError
from controller.model.manifest import Snapshot
from controller.model.skill import SkillFacts, SkillRead
from controller.skill.store import SkillStore, passing_store
from controller.source.config import SourceConfig
from controller.source.documents import Rules
from controller.source.folder import FolderSource
from controller.source.host_paths import HostPathRules
from controller.source.inbox import Batch
from controller.source.kinds import default_kinds
from controller.source.scanner import Scanner
from controller.source.skills import PATIENCE, SETTLED, Skills
from controller.source.validate import validate_paths
from tests.source.helpers import admit_all, key, manifest
from tests.source.watched import Watched
from tests.support.clock import FakeClock

NAMED = "{skill: {path: ./skills/greeting}}"


@pytest.fixture
def store(tmp_path: Path) -> SkillStore:
    return SkillStore(tmp_path / "kept")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    write_skill(folder / "skills/greeting")
    (folder / "web.yaml").write_text(manifest("web", NAMED))
    return folder


def write_skill(folder: Path, description: str = "Greets.") -> None:
    (folder / "scripts").mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_text(f"---\nname: {folder.name}\ndescription: {description}\n---\nGreet.\n")
    (folder / "scripts/greet.sh").write_text("echo hello\n")


@contextmanager
def watching(root: Path, store: SkillStore, *allowed: Path, rescan: float = 60.0) -> Iterator[Watched]:
    config = SourceConfig(root, allow_paths=allowed, rescan_interval=rescan, read_skill=store.read)
    source = FolderSource(config, admit_all, {}, SystemClock())
    watched = Watched(source, root)
    source.start(watched.take)
    try:
        watched.until(lambda snapshot: snapshot.synced)
        yield watched
    finally:
        source.stop()


def skill_of(snapshot: Snapshot, name: str = "web") -> SkillFacts:
    skill = snapshot.documents[key(name)].skill
    assert skill is not None
    return skill


def digest_of(snapshot: Snapshot, name: str = "web") -> str:
    return skill_of(snapshot, name).digest


def test_a_document_has_its_skill_and_another_digest_with_another_skill(root: Path, store: SkillStore) -> None:
    with watching(root, store) as watched:
        before = watched.latest.documents[key("web")]
        skill = skill_of(watched.latest)
        assert skill.path == str(root / "skills/greeting")
        assert before.body["spec"]["skill"]["path"] == str(root / "skills/greeting")
        assert (skill.name, skill.description) == ("greeting", "Greets.")
        assert set(skill.files) == {"SKILL.md", "scripts/greet.sh"}
        (root / "skills/greeting/scripts/greet.sh").write_text("echo goodbye\n")
        after = watched.until(lambda snapshot: digest_of(snapshot) != skill.digest)
        assert after.documents[key("web")].digest != before.digest
        assert after.faults == ()


def test_an_edit_is_taken_once_it_has_come_to_rest_and_not_half_written(root: Path, store: SkillStore) -> None:
    script = root / "skills/greeting/scripts/greet.sh"
    with watching(root, store) as watched:
        seen = {digest_of(watched.latest)}
        for number in range(8):
            script.write_text(f"echo {number}\n")
            time.sleep(SETTLED / 5)
        began = time.monotonic()
        watched.until(lambda snapshot: digest_of(snapshot) not in seen)
        assert time.monotonic() - began < SETTLED + 1.0
        seen |= {digest_of(snapshot) for _, snapshot in watched.delivered}
        assert len(seen) == 2, "only the last of eight edits"


def test_a_skill_that_never_rests_is_taken_now_and_then(root: Path, store: SkillStore) -> None:
    clock, script = FakeClock(start=time.time()), root / "skills/greeting/scripts/greet.sh"
    scanner = scanner_of(root, store, clock)
    digests = [digest_of(scanner.scan(Batch()))]
    for _ in range(int(2.5 * PATIENCE)):
        clock.advance(1.0)
        os.utime(script)
        script.write_text(f"echo {clock.now()}\n")
        clock.jump(script.stat().st_ctime - clock.now() + SETTLED / 2)
        digests.append(digest_of(scanner.scan(Batch())))
    assert len(set(digests)) == 3


def scanner_of(root: Path, store: SkillStore, clock: FakeClock) -> Scanner:
    rules = Rules(default_kinds(), admit_all, HostPathRules(root), Skills(store.read, clock))
    return Scanner(SourceConfig(root), rules, {}, clock)


@pytest.mark.parametrize("break_it", ["front matter", "no SKILL.md", "deleted", "a link out", "unreadable"])
def test_a_skill_gone_bad_keeps_the_last_good_one_and_the_fault_has_its_place(
    root: Path, store: SkillStore, break_it: str
) -> None:
    folder = root / "skills/greeting"
    with watching(root, store) as watched:
        good = digest_of(watched.latest)
        if break_it == "front matter":
            (folder / "SKILL.md").write_text("---\nname: [\n")
        elif break_it == "no SKILL.md":
            (folder / "SKILL.md").unlink()
        elif break_it == "deleted":
            shutil.rmtree(folder)
        elif break_it == "a link out":
            (folder / "passwd").symlink_to("/etc/passwd")
        else:
            (folder / "scripts/greet.sh").unlink()
            os.mkfifo(folder / "scripts/greet.sh")
        snapshot = watched.until(lambda snapshot: key("web") in snapshot.stale)
        fault = snapshot.stale[key("web")]
        assert (fault.file, fault.line, fault.column, fault.field) == ("web.yaml", 5, 22, "spec.skill.path")
        assert str(folder) in fault.message
        assert digest_of(snapshot) == good
        shutil.rmtree(folder, ignore_errors=True)
        write_skill(folder)
        assert digest_of(watched.until(lambda snapshot: not snapshot.stale)) == good


def test_a_manifest_that_comes_before_its_skill_waits_for_it(root: Path, store: SkillStore) -> None:
    with watching(root, store) as watched:
        watched.write("api.yaml", manifest("api", "{skill: {path: ./skills/late}}"))
        watched.until(lambda snapshot: any("does not exist" in fault.message for fault in snapshot.faults))
        write_skill(root / "skills/late")
        watched.until_names("web", "api")
        assert watched.latest.faults == ()


def test_a_skill_outside_of_the_root_is_watched_below_an_allowed_path(
    root: Path, store: SkillStore, tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    write_skill(allowed / "greeting")
    (root / "web.yaml").write_text(manifest("web", f"{{skill: {{path: {allowed}/greeting}}}}"))
    with watching(root, store, allowed) as watched:
        first = digest_of(watched.latest)
        write_skill(allowed / "greeting", "Edited.")
        second = digest_of(watched.until(lambda snapshot: digest_of(snapshot) != first))
        shutil.rmtree(allowed / "greeting")
        watched.until(lambda snapshot: key("web") in snapshot.stale)
        write_skill(allowed / "greeting", "Made again.")
        watched.until(lambda snapshot: not snapshot.stale and digest_of(snapshot) not in (first, second))
        write_skill(allowed / "greeting", "Watched again.")
        third = digest_of(watched.latest)
        watched.until(lambda snapshot: digest_of(snapshot) != third)


def test_a_link_to_a_skill_that_is_swapped_is_followed(root: Path, store: SkillStore) -> None:
    write_skill(root / "versions/one/greeting")
    write_skill(root / "versions/two/greeting", "The second.")
    link = root / "current"
    link.symlink_to("versions/one/greeting")
    (root / "web.yaml").write_text(manifest("web", "{skill: {path: current}}"))
    with watching(root, store, rescan=1.0) as watched:
        first = digest_of(watched.latest)
        (root / ".next").symlink_to("versions/two/greeting")
        (root / ".next").rename(link)
        watched.until(lambda snapshot: digest_of(snapshot) != first)
        assert watched.latest.faults == ()


@pytest.mark.parametrize(
    ("path", "words"),
    [("../elsewhere", "outside the watched folder"), (".", "holds this manifest itself"), ("/etc", "outside")],
)
def test_a_skill_that_may_not_be_had_is_refused_with_its_place(
    root: Path, store: SkillStore, path: str, words: str
) -> None:
    write_skill(root.parent / "elsewhere")
    (root / "web.yaml").write_text(manifest("web", f"{{skill: {{path: {path}}}}}"))
    with watching(root, store) as watched:
        (fault,) = watched.latest.faults
        assert words in fault.message
        assert (fault.line, fault.field) == (5, "spec.skill.path")


def test_a_link_out_of_the_watched_folder_is_no_way_to_a_skill(root: Path, store: SkillStore) -> None:
    write_skill(root.parent / "elsewhere")
    (root / "inside").symlink_to(root.parent / "elsewhere")
    (root / "web.yaml").write_text(manifest("web", "{skill: {path: inside}}"))
    with watching(root, store) as watched:
        assert "outside the watched folder" in watched.latest.faults[0].message


def test_what_lies_in_the_folder_of_a_skill_is_no_manifest(root: Path, store: SkillStore) -> None:
    inside = root / "skills/greeting"
    (inside / "assets").mkdir()
    (inside / "config.yaml").write_text("not: a manifest\n")
    (inside / "assets/example.yaml").write_text(manifest("example"))
    write_skill(root / "skills/unused")
    (root / "skills/unused/other.yml").write_text(manifest("other"))
    with watching(root, store) as watched:
        watched.until_names("web")
        assert watched.latest.faults == ()
        (inside / "config.yaml").write_text("still: none\n")
        (inside / "SKILL.md").unlink()
        watched.until(lambda snapshot: key("web") in snapshot.stale)
        assert watched.stays(lambda snapshot: len(snapshot.documents) == 1 == len(snapshot.faults), 1.5)
    with passing_store() as passing:
        assert validate_paths([root / "skills"], admit_all, (), passing.read) != []


def test_a_manifest_around_which_a_skill_grows_is_kept_and_told(root: Path, store: SkillStore) -> None:
    (root / "team").mkdir()
    (root / "team/api.yaml").write_text(manifest("api"))
    with watching(root, store) as watched:
        write_skill(root / "team")
        snapshot = watched.until(lambda snapshot: key("api") in snapshot.stale)
        assert "lies in the folder of a skill (team)" in snapshot.stale[key("api")].message
        assert watched.stays(lambda snapshot: key("api") in snapshot.documents, 1.5)
        (root / "team/api.yaml").unlink()
        watched.until_names("web")


def test_one_manifest_that_names_a_folder_of_manifests_takes_none_of_them_away(root: Path, store: SkillStore) -> None:
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / f"{name}.yaml").write_text(manifest(name))
    with watching(root, store) as watched:
        watched.write("wrong.yaml", manifest("wrong", "{skill: {path: ./a}}"))
        watched.until(lambda snapshot: bool(snapshot.faults))
        assert watched.stays(lambda snapshot: not snapshot.stale and len(snapshot.documents) == 3, 1.5)


def test_a_skill_that_many_name_is_read_once(root: Path, store: SkillStore) -> None:
    reads: list[Path] = []

    def read(path: Path, validation: str) -> SkillRead:
        reads.append(path)
        return store.read(path, validation)

    for number in range(20):
        (root / f"s{number}.yaml").write_text(manifest(f"s{number}", NAMED))
    source = FolderSource(SourceConfig(root, read_skill=read), admit_all, {}, SystemClock())
    assert len(source.scan_once().documents) == 21
    source.scan_once()
    assert len(reads) == 1


def test_a_full_disk_is_tried_again_and_a_bad_skill_is_not(root: Path, store: SkillStore) -> None:
    answers: list[SandkeeperError] = [DiskFullError("no space"), DiskFullError("no space")]

    def read(path: Path, validation: str) -> SkillRead:
        if answers:
            raise answers.pop()
        return store.read(path, validation)

    source = FolderSource(SourceConfig(root, read_skill=read), admit_all, {}, FakeClock())
    assert "no space" in source.scan_once().faults[0].message
    assert "no space" in source.scan_once().faults[0].message
    assert source.scan_once().faults == ()
    answers += [SandkeeperError("bad"), SandkeeperError("read in vain")]
    (root / "skills/greeting/SKILL.md").write_text("bad")
    assert [source.scan_once().faults[0].message for _ in range(2)] == ["read in vain"] * 2


def test_a_skill_of_one_file_is_one_and_so_is_one_named_by_its_skill_file(root: Path, store: SkillStore) -> None:
    text = "---\nname: note\ndescription: d\n---\n"
    (root / "note.md").write_text(text)
    (root / "web.yaml").write_text(manifest("web", "{skill: {path: note.md}}"))
    (root / "api.yaml").write_text(manifest("api", "{skill: {path: skills/greeting/SKILL.md}}"))
    found = FolderSource(SourceConfig(root, read_skill=store.read), admit_all, {}, SystemClock()).scan_once()
    assert found.faults == ()
    assert set(skill_of(found).files) == {"note.md"}
    assert skill_of(found, "api").path == str(root / "skills/greeting")


def test_validate_checks_a_skill_and_a_strict_one_strictly(root: Path) -> None:
    (root / "skills/greeting/SKILL.md").write_text("---\nname: Not_A_Name\ndescription: d\n---\n")
    with passing_store() as passing:
        assert {fault.warning for fault in validate_paths([root], admit_all, (), passing.read)} == {True}
        (root / "web.yaml").write_text(manifest("web", "{skill: {path: ./skills/greeting, validation: strict}}"))
        faults = validate_paths([root], admit_all, (), passing.read)
        (fault,) = (fault for fault in faults if not fault.warning)
        assert (fault.file, fault.line, fault.field) == (str(root / "web.yaml"), 5, "spec.skill.path")
        assert f"{root}/skills/greeting/SKILL.md:" in fault.message
