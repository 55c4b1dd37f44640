"""Secrets come from the daemon's own folder, closed to everybody else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.model.errors import SecretUnavailableError
from controller.model.spec import SecretRef
from controller.runtime.secrets import FolderSecrets, NoSecrets

REF = SecretRef("api", "token")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of secrets with one in it."""
    top = tmp_path / "secrets"
    (top / "api").mkdir(parents=True)
    top.chmod(0o700)
    (top / "api").chmod(0o700)
    (top / "api/token").write_text("hunter2\n")
    (top / "api/token").chmod(0o600)
    return top


def test_a_secret_is_read_without_its_last_newline(folder: Path) -> None:
    assert FolderSecrets(folder).read(REF) == "hunter2"


def test_only_one_newline_is_taken(folder: Path) -> None:
    (folder / "api/token").write_text("a\nb\n\n")
    assert FolderSecrets(folder).read(REF) == "a\nb\n"


@pytest.mark.parametrize("place", ["", "api", "api/token"])
@pytest.mark.parametrize("mode", [0o040, 0o004, 0o020, 0o001])
def test_what_others_can_reach_is_refused_with_the_way_to_close_it(folder: Path, place: str, mode: int) -> None:
    path = folder / place
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(SecretUnavailableError, match=r"chmod 0[67]00") as caught:
        FolderSecrets(folder).read(REF)
    assert "hunter2" not in str(caught.value)


@pytest.mark.root
def test_a_file_of_another_user_is_refused(folder: Path) -> None:
    os.chown(folder / "api/token", 12345, 12345)
    with pytest.raises(SecretUnavailableError, match="belongs to user 12345"):
        FolderSecrets(folder).read(REF)


@pytest.mark.parametrize("ref", [SecretRef("api", "missing"), SecretRef("missing", "token")])
def test_a_missing_one_says_where_to_put_it(folder: Path, ref: SecretRef) -> None:
    with pytest.raises(SecretUnavailableError, match=f"{folder}/{ref.name}/{ref.key} \\(0600\\)"):
        FolderSecrets(folder).read(ref)


@pytest.mark.parametrize(
    "ref",
    [
        SecretRef("..", "passwd"),
        SecretRef("api", "../x"),
        SecretRef("", "x"),
        SecretRef("api", "."),
        SecretRef("a/b", "c"),
    ],
)
def test_a_name_never_leads_out_of_the_folder(folder: Path, ref: SecretRef) -> None:
    with pytest.raises(SecretUnavailableError):
        FolderSecrets(folder).read(ref)


def test_symlinks_are_not_followed(folder: Path) -> None:
    (folder / "api/link").symlink_to(folder / "api/token")
    (folder / "linked").symlink_to(folder / "api")
    for ref in (SecretRef("api", "link"), SecretRef("linked", "token")):
        with pytest.raises(SecretUnavailableError, match="cannot be read"):
            FolderSecrets(folder).read(ref)


def test_neither_pipes_nor_folders_nor_bytes_are_values(folder: Path) -> None:
    os.mkfifo(folder / "api/pipe", 0o600)
    (folder / "api/folder").mkdir(0o700)
    (folder / "api/bytes").write_bytes(b"\xff\xfe")
    (folder / "api/bytes").chmod(0o600)
    for key in ("pipe", "folder", "bytes"):
        with pytest.raises(SecretUnavailableError):
            FolderSecrets(folder).read(SecretRef("api", key))


def test_without_a_folder_there_are_none() -> None:
    with pytest.raises(SecretUnavailableError, match="--secrets-dir"):
        NoSecrets().read(REF)
