"""Skills that were written against their reader: refused, in their place, soon."""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.skill import SkillError, Validation, parse_skill, tree
from tests.skill.samples import skill_file

FRONT = "---\nname: skill\ndescription: Said.\n---\nBody.\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{below}: &{below} [{', '.join(['*' + above] * 9)}]\n" for above, below in itertools.pairwise("abcdefg")
)


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    """A good skill's folder."""
    return skill_file(tmp_path / "skill", FRONT).parent


def refusal(path: Path, validation: Validation = Validation.LENIENT) -> str:
    """Why a skill is refused, whose reading takes no long time."""
    begun = time.monotonic()
    with pytest.raises(SkillError) as raised:
        parse_skill(path, validation)
    assert time.monotonic() - begun < 5
    return str(raised.value)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        folder = os.open(path.parent, os.O_PATH)
        listening.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (os.mkfifo, "is a named pipe"),
        (a_socket, "cannot be read: No such device or address"),
        (lambda path: path.symlink_to("/etc/passwd"), "is a link"),
        (lambda path: path.symlink_to("other.md"), "is a link"),
        (lambda path: path.mkdir(), "holds no SKILL.md"),
        (lambda path: path.write_bytes(b"x" * ((1 << 20) + 1)), "is 1048577 bytes; at most 1048576 are read"),
        (lambda path: path.write_bytes(b"---\nname: s\xff\n---\n"), "SKILL.md:2:8: is not UTF-8 (byte 0xff)"),
    ],
    ids=["pipe", "socket", "link-out", "link-within", "folder", "huge", "not-utf-8"],
)
def test_a_skill_file_that_is_no_text_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    path = tmp_path / "skill" / "SKILL.md"
    path.parent.mkdir()
    make(path)
    assert told in refusal(path.parent)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (os.mkfifo, "is a named pipe"),
        (lambda path: path.symlink_to("/etc/passwd"), "leads out of its folder"),
        (lambda path: path.symlink_to("/dev/zero"), "leads out of its folder"),
        (lambda path: path.symlink_to(path.name), "cannot be opened: Too many levels of symbolic links"),
        (lambda path: path.write_bytes(b"x" * ((1 << 20) + 1)), "is 1048577 bytes"),
        (lambda path: path.write_bytes(b"# T\n\xe4\n"), "a.md:2:1: is not UTF-8"),
    ],
    ids=["pipe", "link-out", "device", "loop", "huge", "not-utf-8"],
)
def test_a_single_file_that_is_no_text_file_is_refused(
    tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    (tmp_path / "below").mkdir()
    make(tmp_path / "below" / "a.md")
    assert told in refusal(tmp_path / "below" / "a.md")


def test_a_single_file_may_be_a_link_to_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    skill_file(tmp_path / "data", "# T\n\nSaid.\n", "a.md")
    (tmp_path / "a.md").symlink_to("data/a.md")
    assert parse_skill(tmp_path / "a.md").definition.name == "T"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/etc/passwd", "assets/out:1:1: is a link to an absolute path (make it relative"),
        ("../../other", "assets/out:1:1: is a link that leads out of the skill (copy"),
        ("../up/..", "assets/out:1:1: is a link that leads out of the skill (copy"),
    ],
)
def test_links_out_of_the_skill_are_refused(skill: Path, target: str, told: str) -> None:
    (skill / "assets").mkdir()
    (skill / "up").symlink_to(".")
    (skill / "assets" / "out").symlink_to(target)
    assert told in refusal(skill)


def test_every_fault_of_a_tree_is_told_at_once(skill: Path) -> None:
    (skill / "a").symlink_to("/a")
    os.mkfifo(skill / "b")
    assert [line.partition(":")[0] for line in refusal(skill).splitlines()] == [f"{skill}/a", f"{skill}/b"]


def test_a_tree_of_too_many_files_is_refused(skill: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MOST_ENTRIES", 50)
    (skill / "assets").mkdir()
    for number in range(50):
        (skill / "assets" / str(number)).touch()
    assert "assets:1:1: the skill has more than 50 files" in refusal(skill)


def test_a_tree_of_too_many_bytes_is_refused(skill: Path) -> None:
    with (skill / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert "sparse:1:1: the skill has more than 128 MiB" in refusal(skill)


def test_a_tree_that_is_too_deep_is_refused(skill: Path) -> None:
    os.makedirs(skill / "/".join("d" * 40))  # noqa: PTH103 - as deep as pathlib's
    assert "is nested more than 32 folders deep" in refusal(skill)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (BOMB, "values in one document, aliases counted in full"),
        ("a: " + "[" * 100 + "\n", "nested more than 64 levels deep"),
        ("a: " + "{a: " * 5000 + "\n", "nested more than 64 levels deep"),
        ("a: \x07\n", "control characters are not allowed"),
        ("".join(f"a{number}: b\n" for number in range(20_000)), "more than 10000 values"),
    ],
    ids=["bomb", "deep-lists", "deep-maps", "bell", "wide"],
)
def test_front_matter_that_explodes_is_refused(tmp_path: Path, fields: str, told: str) -> None:
    folder = skill_file(tmp_path / "skill", f"---\nname: skill\ndescription: Said.\n{fields}---\nBody.\n").parent
    assert told in refusal(folder)


@pytest.mark.parametrize(
    "text",
    [
        "# T\n\n## Tools\n" + "- a\n" * 99_000,
        "# T\n\n## Tools\n" + "- a" + " " * 900_000 + "b\n",
        "# T\n\n## Tools\n" + ("- a" + " " * 9_000 + "b\n") * 100,
        "#" * 1_000_000,
        "# " + "a #" * 300_000,
        ("# a" + " " * 9_000 + "b\n") * 100,
        "# T\n\n## Requirements\n" + "- Python" + " " * 900_000 + "x\n",
        "# T\n\n## Requirements\n" + ("- " + "(" * 900 + "\n") * 1000,
        "# T\n\n## Requirements\n" + ("- a[" + "b," * 200 + "\n") * 1000,
        "# T\n\n" + "**" * 500_000,
        "# T\n\n" + "`" * 1_000_000,
        "version " * 120_000,
        "\n" * 99_000,
        "---\nname: s\ndescription: d\nallowed-tools: " + "Bash(x) " * 120_000 + "\n---\n",
        "---\nname: s\ndescription: " + "a: " * 300_000 + "\n---\n",
    ],
    ids=range(15),
)
def test_a_text_made_to_be_slow_is_read_soon(tmp_path: Path, text: str) -> None:
    begun = time.monotonic()
    parse_skill(skill_file(tmp_path, text, "a.md"))
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "a\n" * 500_000),
        ("requirements.txt", "".join(f"a{number}\n" for number in range(100_000))),
        ("requirements.txt", "a; " + "(" * 400 + "\n"),
        ("requirements.txt", "a" + " -" * 400_000),
        ("requirements.txt", "\\\n" * 500_000),
        ("pyproject.toml", "a." * 32_000 + "a = 1\n"),
        ("pyproject.toml", "".join(f"[a{'.a' * (number % 50)}.b{number}]\n" for number in range(800))),
        ("scripts/a.py", "# /// script\n" * 20_000),
        ("scripts/a.py", "# /// script\n" + "# ///\n" * 40_000),
        ("scripts/a.py", "#!" + " " * 200_000),
        ("scripts/a.py", "\0" * 200_000),
    ],
    ids=range(11),
)
def test_files_made_to_be_slow_are_read_soon(skill: Path, name: str, text: str) -> None:
    (skill / name).parent.mkdir(exist_ok=True)
    (skill / name).write_text(text)
    begun = time.monotonic()
    try:
        parse_skill(skill)
    except SkillError as exc:
        assert "more than 1000 requirements" in str(exc)  # noqa: PT017 - either end is right
    assert time.monotonic() - begun < 5


def test_a_file_of_too_many_lines_is_refused(tmp_path: Path) -> None:
    told = refusal(skill_file(tmp_path, "\n" * 1_000_000, "a.md"))
    assert "a.md:100001:1: has more than 100000 lines" in told


def test_what_a_skill_says_is_told_on_one_line_each(tmp_path: Path) -> None:
    path = skill_file(tmp_path, "# T\n\n## Requirements\n- \x1b[31mred\u2028x y\n", "a.md")
    (warning,) = parse_skill(path).warnings
    assert warning.isprintable()
