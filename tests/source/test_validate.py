"""`validate`: the faults of files and folders without a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.source.validate import validate_paths
from tests.source.helpers import admit_all, manifest


def validated(*paths: Path) -> list[str]:
    return [str(fault) for fault in validate_paths(paths, admit_all)]


def test_a_good_folder_has_no_faults(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    (tmp_path / "a.yaml").write_text(manifest("a"))
    (tmp_path / "team/b.yml").write_text(manifest("b"))
    (tmp_path / "notes.txt").write_text(": not yaml")
    assert validated(tmp_path) == []


def test_faults_come_by_file_and_line_with_their_paths_as_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "team").mkdir()
    (tmp_path / "team/b.yaml").write_text(manifest("b", "{nope: 1}"))
    (tmp_path / "team/a.yaml").write_text("on: [\n")
    assert validated(Path("team"), Path("./team/b.yaml")) == [
        "team/a.yaml:2:1: not valid YAML: did not find expected node content (something opened is not closed)",
        "team/b.yaml:5:8: spec.nope: is not a known field (known: "
        + str(validate_paths([Path("team/b.yaml")], admit_all)[0].hint).removeprefix("known: ")
        + ")",
    ]


def test_a_name_declared_in_two_files_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("web"))
    (tmp_path / "b.yaml").write_text(manifest("web"))
    (fault,) = validate_paths([tmp_path], admit_all)
    assert fault.message == f"sandbox default/web is already declared in {tmp_path}/a.yaml:1"
    assert (fault.file, fault.line, fault.column) == (f"{tmp_path}/b.yaml", 4, 9)


def test_a_warning_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(manifest("a", "{resources: {limits: {memory: 512M}}}"))
    (fault,) = validate_paths([tmp_path], admit_all)
    assert fault.warning
    assert fault.message == "512M is decimal (512000000 bytes); 512Mi is the binary unit that engines report"


def test_a_path_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert validated(tmp_path / "none.yaml") == [
        f"{tmp_path}/none.yaml:1:1: there is no such file (give a manifest, or a folder of manifests)"
    ]


def test_mounts_are_held_against_the_folder_and_the_allowed_prefixes(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "a.yaml").write_text(manifest("a", "{filesystem: {mounts: [{source: ../data, target: /data}]}}"))
    assert "outside the watched folder" in validated(folder)[0]
    assert validate_paths([folder], admit_all, allow_paths=[tmp_path]) == []
