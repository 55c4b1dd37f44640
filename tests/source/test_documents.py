"""Documents from a file's text: keys, digests, faults in place, host paths and admission."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from controller.model.manifest import FieldFault
from controller.model.skill import SkillFacts
from controller.source.documents import MAX_FAULTS, FileContent, ManifestText, Rules, read_documents
from controller.source.host_paths import HostPathRules
from controller.source.kinds import default_kinds
from controller.source.protocol import Admit
from tests.source.helpers import admit_all, key, manifest


def read(text: str, root: Path = Path("/nowhere"), admit: Admit = admit_all) -> FileContent:
    rules = Rules(default_kinds(), admit, HostPathRules(root, (root.parent / "allowed",)))
    return read_documents(ManifestText(text, "web.yaml", root, saved_at=1.0, seen_at=2.0), rules)


def mounting(source: object, read_only: bool = True) -> str:
    mount = f"{{source: {source}, target: /data, readOnly: {str(read_only).lower()}}}"
    return manifest("web", f"{{filesystem: {{mounts: [{mount}]}}}}")


def test_each_document_of_a_file_is_read_with_its_origin() -> None:
    content = read(manifest("a") + "---\n" + manifest("b"))
    assert content.faults == ()
    first, second = content.documents.values()
    assert (first.key, second.key) == (key("a"), key("b"))
    assert (first.file, first.line, second.line, second.saved_at, second.seen_at) == ("web.yaml", 1, 7, 1.0, 2.0)
    assert first.digest != second.digest


def test_the_digest_is_of_the_data_not_of_the_text() -> None:
    plain, spaced = read(manifest("a")), read("# a note\n" + manifest("a", "{ }"))
    assert [d.digest for d in plain.documents.values()] == [d.digest for d in spaced.documents.values()]


def test_a_bad_document_leaves_its_neighbours_alone() -> None:
    content = read(manifest("a") + "---\n" + manifest("b", "{comand: []}") + "---\n" + manifest("c"))
    assert [key.name for key in content.documents] == ["a", "c"]
    assert [str(fault) for fault in content.faults] == [
        "web.yaml:11:8: spec.comand: is not a known field (did you mean command?)"
    ]
    assert content.refused == {key("b"): content.faults[0]}


def test_a_file_that_breaks_off_keeps_what_came_before_and_tells() -> None:
    content = read(manifest("a") + "---\nkind: [\n")
    assert [key.name for key in content.documents] == ["a"]
    assert content.first_error is not None
    assert content.first_error.line == 8


def test_a_name_declared_twice_in_a_file_belongs_to_the_first() -> None:
    content = read(manifest("a") + "---\n" + manifest("a", "{suspend: {mode: Freeze}}"))
    assert [document.line for document in content.documents.values()] == [1]
    assert [str(fault) for fault in content.faults] == [
        "web.yaml:10:9: metadata.name: sandbox default/a is already declared on line 1 of this file "
        "(keep one of the two, or rename one)"
    ]


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "3\n"])
def test_a_document_that_is_no_mapping_is_refused(text: str) -> None:
    assert [str(fault) for fault in read(text).faults] == [
        "web.yaml:1:1: a manifest is a mapping (begin with apiVersion: and kind:)"
    ]


def test_admission_is_asked_after_the_schema_and_its_faults_are_put_in_place() -> None:
    asked: list[dict[str, Any]] = []

    def admit(body: dict[str, Any], _: SkillFacts | None) -> list[FieldFault]:
        asked.append(body)
        return [FieldFault(("spec", "image"), "is not allowed here", "use another")]

    content = read(manifest("a", "{image: x}") + "---\n" + manifest("b", "{nope: 1}"), admit=admit)
    assert [body["metadata"]["name"] for body in asked] == ["a"]
    assert str(content.faults[0]) == "web.yaml:5:15: spec.image: is not allowed here (use another)"
    assert content.documents == {}


def test_a_decimal_memory_suffix_is_a_warning_only() -> None:
    content = read(manifest("a", "{resources: {limits: {memory: 512M}}}"))
    assert [key.name for key in content.documents] == ["a"]
    assert [(fault.warning, fault.field) for fault in content.faults] == [(True, "spec.resources.limits.memory")]


def test_every_fault_of_a_document_is_told_in_its_order() -> None:
    fields = ", ".join(f"wrong{number}: 1" for number in range(60))
    lines = [fault.column for fault in read(manifest("web", f"{{{fields}}}")).faults]
    assert len(lines) == 60
    assert lines == sorted(lines)


def test_a_document_of_nothing_but_faults_does_not_tell_them_without_end() -> None:
    fields = ", ".join(f"wrong{number}: 1" for number in range(MAX_FAULTS + 5))
    faults = read(manifest("web", f"{{{fields}}}")).faults
    assert len(faults) == MAX_FAULTS + 1
    assert faults[-1].message == "and 5 more faults from here on"


def test_a_mount_is_made_absolute_and_real(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    (root / "data").mkdir(parents=True)
    (root / "link").symlink_to("data")
    content = read(mounting("./link"), root)
    (document,) = content.documents.values()
    assert document.body["spec"]["filesystem"]["mounts"][0]["source"] == str(root / "data")


def test_a_mount_below_an_allowed_prefix_may_be_writable(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    (tmp_path / "allowed/deep").mkdir(parents=True)
    assert read(mounting("../allowed/deep", read_only=False), root).faults == ()


@pytest.mark.parametrize("source", ["..", "/etc", "../elsewhere", "../allowed-not", "out"])
def test_a_mount_outside_is_refused(tmp_path: Path, source: str) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    (root / "out").symlink_to("/etc/passwd")
    (fault,) = read(mounting(source), root).faults
    assert "outside the watched folder" in fault.message
    assert (fault.line, fault.field) == (5, "spec.filesystem.mounts[0].source")


@pytest.mark.parametrize("source", ["data", ".scratch", "..data", ".git/hooks", "link", ".", ".."])
def test_nothing_of_the_watched_folder_is_mounted_writable(tmp_path: Path, source: str) -> None:
    """Nor what holds it. Hidden folders are not watched, but a manifest may be a symlink into one."""
    root = tmp_path / "manifests"
    for folder in ("data", ".scratch", "..data", ".git/hooks"):
        (root / folder).mkdir(parents=True)
    (root / "link").symlink_to("..data")
    rules = Rules(default_kinds(), admit_all, HostPathRules(root, (tmp_path,)))
    (fault,) = read_documents(ManifestText(mounting(source, read_only=False), "web.yaml", root), rules).faults
    assert "write manifests" in fault.message
    assert read_documents(ManifestText(mounting(source), "web.yaml", root), rules).faults == ()


@pytest.mark.parametrize("source", [".state", ".state/run", ".", "link", "../secrets", "../secrets/token", ".."])
def test_the_daemons_own_folders_are_never_mounted_nor_what_holds_them(tmp_path: Path, source: str) -> None:
    root = tmp_path / "manifests"
    (root / ".state/run").mkdir(parents=True)
    (root / "link").symlink_to(".state")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "seen").symlink_to("secrets")
    host_paths = HostPathRules(root, (tmp_path,), forbidden=(root / ".state", tmp_path / "seen"))
    rules = Rules(default_kinds(), admit_all, host_paths)
    (fault,) = read_documents(ManifestText(mounting(source), "web.yaml", root), rules).faults
    assert "the daemon's own files" in fault.message
    assert read_documents(ManifestText(mounting("../free"), "web.yaml", root), rules).faults == ()


def test_a_socket_that_may_not_be_looked_at_stands_in_the_way_of_what_it_lies_in_alone(tmp_path: Path) -> None:
    root, hidden = tmp_path / "root", tmp_path / "engine"
    for folder in (root / "data", hidden):
        folder.mkdir(parents=True)
    unreadable = hidden / ("x" * 300)  # as one in a closed folder is to an ordinary user
    host_paths = HostPathRules(root, (tmp_path,), engine_sockets=(unreadable,))
    rules = Rules(default_kinds(), admit_all, host_paths)
    content = read_documents(ManifestText(mounting("data"), "web.yaml", root), rules)
    assert content.faults == ()
    content = read_documents(ManifestText(mounting(hidden), "web.yaml", root), rules)
    assert "gives away the engine's socket" in content.faults[0].message


def test_an_engines_socket_is_never_mounted_nor_a_folder_that_holds_it(tmp_path: Path) -> None:
    root = tmp_path / "manifests"
    root.mkdir()
    path = root / "engine"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    rules = HostPathRules(root, engine_sockets=(path,))
    for source in ("engine", ".", "docker.sock"):
        text = ManifestText(mounting(source), "web.yaml", root)
        (fault,) = read_documents(text, Rules(default_kinds(), admit_all, rules)).faults
        assert "engine's socket" in fault.message
    listener.close()
