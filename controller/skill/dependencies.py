"""What the files of a skill depend on: requirements.txt, pyproject.toml, PEP 723 blocks and shebangs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from controller.skill.findings import Findings
from controller.skill.requirements import Requirements
from controller.skill.text import Text, decode
from controller.skill.tree import PYPROJECT, REQUIREMENTS, SCRIPTS

_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_OPTION: Final = re.compile(r"\s(--?[a-zA-Z-]{1,30})(?=[\s=]|$)")
_BLOCK_BEGIN: Final = re.compile(r"# /// ([a-zA-Z0-9-]+)")
_BLOCK_END: Final = "# ///"
_TOML_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
_LONGEST_TOML: Final = 64 << 10
_MOST_DOTS: Final = 256  # in a line: the time that tomllib takes for a dotted key grows with the square of its parts
_VERSIONED: Final = re.compile(r"python(\d\.\d+)")


def find_dependencies(shown: str, texts: Mapping[str, bytes], into: Requirements, findings: Findings) -> list[str]:
    """Add what the files declare; the names of the scripts. Each file is shown below `shown`."""
    scripts = sorted(path for path in texts if path.startswith(SCRIPTS))
    if REQUIREMENTS in texts:
        _requirements(decode(f"{shown}/{REQUIREMENTS}", texts[REQUIREMENTS], findings), into, findings)
    if PYPROJECT in texts:
        _pyproject(decode(f"{shown}/{PYPROJECT}", texts[PYPROJECT], findings), into, findings)
    for path in scripts:
        # A script may be a program of any encoding: what it needs stands in lines of plain ASCII.
        text = Text(f"{shown}/{path}", texts[path].decode("utf-8", "replace").replace("\r\n", "\n"))
        _shebang(text, into, findings)
        if path.endswith(".py"):
            _script(text, into, findings)
    return scripts


def _requirements(text: Text, into: Requirements, findings: Findings) -> None:
    options = dict[str, int]()
    for number, line in _logical_lines(text):
        requirement = _COMMENT.sub("", line).strip()
        for option in _OPTION.findall(f" {requirement}"):
            options.setdefault(option, number)
        if requirement and not requirement.startswith("-"):
            into.add(_OPTION.split(requirement, maxsplit=1)[0], text, number, findings)
    for option, number in options.items():
        hint = "list each requirement in this file; its hashes are found anew"
        findings.warnings.append(text.fault(number, f"the option {option} is not taken", hint))


def _logical_lines(text: Text) -> Iterator[tuple[int, str]]:
    """Lines joined where one ends with a backslash, each with the number of its first."""
    begun, parts = 0, list[str]()
    for number, line in text.numbered():
        begun = begun or number
        parts.append(line.removesuffix("\\"))
        if line.endswith("\\"):
            continue
        yield begun, " ".join(parts)
        begun, parts = 0, []
    if parts:
        yield begun, " ".join(parts)


def _pyproject(text: Text, into: Requirements, findings: Findings) -> None:
    parsed = _toml(text, text.content, 0, findings)
    project = _table(parsed.get("project"))
    if "dependencies" in _as_list(project.get("dynamic")):
        message = "the dependencies are made by a build, which does not happen"
        findings.warnings.append(text.fault(text.line_of("dynamic"), message, "list them under [project]"))
    if "dependencies" in _table(_table(parsed.get("tool")).get("poetry")):
        message = "Poetry's own dependencies are not read"
        findings.warnings.append(text.fault(text.line_of("tool.poetry.dependencies"), message, "use [project]"))
    _declared(project, text, 1, into, findings)


def _script(text: Text, into: Requirements, findings: Findings) -> None:
    """The `# /// script` block of PEP 723."""
    blocks = list(_blocks(text, findings))
    if len(blocks) > 1:
        findings.warnings.append(text.fault(blocks[1][0], "is a second script block", "keep one of the two"))
    for number, content in blocks[:1]:
        _declared(_toml(text, content, number, findings), text, number, into, findings)


def _blocks(text: Text, findings: Findings) -> Iterator[tuple[int, str]]:
    """The line of each block's beginning, and its TOML."""
    begun, content, ended = 0, list[str](), 0
    for number, line in (*text.numbered(), (len(text.lines) + 1, "")):
        stripped = line.rstrip()
        if not begun:
            begin = _BLOCK_BEGIN.fullmatch(stripped)
            if begin and begin[1] == "script":
                begun, content, ended = number, [], 0
        elif stripped == _BLOCK_END:
            # A block ends at the last end mark of its run of comments.
            content.append(line)
            ended = len(content)
        elif line == "#" or line.startswith("# "):
            content.append(line)
        else:
            if ended:
                yield begun, "\n".join(line[2:] for line in content[: ended - 1])
            else:
                findings.warnings.append(text.fault(begun, "the script block is not closed", "end it with # ///"))
            begun = 0


def _declared(table: Mapping[str, Any], text: Text, first: int, into: Requirements, findings: Findings) -> None:
    """`dependencies` and `requires-python` of a table that stands below the line `first`."""
    for requirement in _as_list(table.get("dependencies")):
        into.add(requirement, text, _line_of(text, requirement, first), findings)
    bound = table.get("requires-python")
    if isinstance(bound, str):
        into.bound_python(bound, text, _line_of(text, "requires-python", first), findings)


def _line_of(text: Text, part: str, first: int) -> int:
    return next((number for number, line in enumerate(text.lines[first - 1 :], first) if part in line), first)


def _toml(text: Text, content: str, above: int, findings: Findings) -> Mapping[str, Any]:
    """The TOML of a file, whose first line comes after `above` others; empty where it cannot be read."""
    if len(content) > _LONGEST_TOML:
        message = f"has {len(content)} characters of TOML; at most {_LONGEST_TOML} are read"
        findings.warnings.append(text.fault(above + 1, message, "it is left out"))
        return {}
    dotted = next((at for at, line in enumerate(content.split("\n"), 1) if line.count(".") > _MOST_DOTS), None)
    if dotted is not None:
        message = f"the TOML has more than {_MOST_DOTS} dots in a line"
        findings.warnings.append(text.fault(above + dotted, message, "it is left out: use several lines"))
        return {}
    try:
        return tomllib.loads(content)
    except RecursionError:
        findings.warnings.append(text.fault(above + 1, "the TOML is nested too deep", "it is left out"))
    except ValueError as exc:
        place = _TOML_PLACE.search(str(exc))
        line, column = (int(place[1]), int(place[2])) if place else (1, 1)
        message = f"not valid TOML: {_TOML_PLACE.sub('', str(exc))}"
        findings.warnings.append(text.fault(above + line, message, "it is left out", column))
    return {}


def _shebang(text: Text, into: Requirements, findings: Findings) -> None:
    first = text.lines[0][:500]
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    programs = [word.rpartition("/")[2] for word in words]
    if programs and programs[0] == "env":
        programs = [word for word in programs[1:] if not word.startswith("-") and "=" not in word]
    if not programs:
        return
    versioned = _VERSIONED.fullmatch(programs[0])
    if versioned:
        into.name_python(versioned[1], f"{text.file}:1")
    elif programs[0] == "uv":
        hint = "run it with python3: what it requires is installed"
        findings.warnings.append(text.fault(1, "is run by uv, which a sandbox does not have", hint))
    else:
        into.add_program(programs[0], text, findings)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _as_list(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
