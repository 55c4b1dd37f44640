"""From what a skill file calls its tools to the tools."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from controller.model.manifest import Fault
from controller.skill.definition import Tool, ToolType
from controller.skill.findings import Findings
from controller.skill.front_matter import FrontMatter
from controller.skill.markdown import Section, items, plain
from controller.skill.text import Text

KNOWN: Final = {
    "web_search": ToolType.WEB_SEARCH,
    "read_file": ToolType.FILESYSTEM,
    "write_file": ToolType.FILESYSTEM,
    "list_files": ToolType.FILESYSTEM,
    "codebase_search": ToolType.CODEBASE_SEARCH,
    "code_search": ToolType.CODEBASE_SEARCH,
    "execute_code": ToolType.CODE_EXECUTION,
    "run_code": ToolType.CODE_EXECUTION,
    "run_command": ToolType.CODE_EXECUTION,
}
"""Tools that are recognized where a text mentions them."""

MOST: Final = 1000
"""Tools of one skill; what is listed beyond is not looked at."""

_OF_AGENTS: Final = {
    "bash": "run_command",
    "edit": "write_file",
    "glob": "list_files",
    "grep": "codebase_search",
    "ls": "list_files",
    "multiedit": "write_file",
    "read": "read_file",
    "webfetch": "web_search",
    "websearch": "web_search",
    "write": "write_file",
}
"""What agents call the tools that do the same here."""

_WORDS: Final = (
    ({"codebase", "grep"}, ToolType.CODEBASE_SEARCH),
    ({"database", "db", "sql", "query"}, ToolType.DATABASE),
    ({"read", "write", "file", "files", "list", "directory", "dir", "folder"}, ToolType.FILESYSTEM),
    ({"web", "fetch", "url", "http", "browse", "search"}, ToolType.WEB_SEARCH),
    ({"execute", "run", "exec", "eval", "shell", "command"}, ToolType.CODE_EXECUTION),
)
_ITEM: Final = re.compile(r"([A-Za-z_][\w.-]{0,99})(?:[ \t]*\([^()]{0,200}\))?[ \t]*(?::|[-–—][ \t]|$)")  # noqa: RUF001
_LEADING: Final = re.compile(r"([A-Za-z_]\w{0,99})")
_ALLOWED: Final = re.compile(r"[^\s,()]{1,200}(?:\([^()]{0,1000}\))?")


def type_of(name: str) -> ToolType:
    """What kind of work a tool of that name does, as far as a name tells."""
    known = KNOWN.get(name.lower())
    if known is not None:
        return known
    words = set(re.split(r"[_.-]", name.lower()))
    return next((kind for marks, kind in _WORDS if marks & words), ToolType.CUSTOM)


def listed_tools(text: Text, section: Section, findings: Findings) -> list[Tool]:
    """The tools of a `## Tools` section: list items such as `- read_file: Read files`."""
    tools: dict[str, Tool] = {}
    for line in islice(items(section), MOST):
        item = plain(line.text)
        found = _ITEM.match(item)
        leading = found or _LEADING.match(item)
        name = leading[1] if leading else ""
        if leading is None or (not found and name.lower() not in KNOWN):
            message = f"is no tool: {_shown(line.text)}"
            findings.warnings.append(text.fault(line.number, message, "write '- name: what it does'"))
        elif name in tools:
            findings.warnings.append(text.fault(line.number, f"{name} is already listed", "keep one of the two"))
        else:
            tools[name] = Tool(name, type_of(name), item[leading.end() :].strip(" \t:-–—") or _told(name))  # noqa: RUF001
    return list(tools.values())


def allowed_tools(front: FrontMatter, findings: Findings) -> list[Tool]:
    """The tools of `allowed-tools`: those that agents have by another name are the ones that do the same here."""
    written: dict[str, list[str]] = {}
    for entry in islice(_allowed(front.fields.get("allowed-tools"), front, findings), MOST):
        agents_name = entry.partition("(")[0]
        written.setdefault(_OF_AGENTS.get(agents_name.lower(), agents_name), []).append(entry)
    return [
        Tool(name, type_of(name), f"{_told(name)} (allowed-tools: {' '.join(entries)})")
        for name, entries in written.items()
    ]


def mentioned_tools(lines: Sequence[str]) -> list[Tool]:
    """The known tools whose names stand in the text as words."""
    words = {word for line in lines for word in re.findall(r"\w+", line.lower())}
    return [Tool(name, kind, _told(name)) for name, kind in KNOWN.items() if name in words]


def _allowed(value: Any, front: FrontMatter, findings: Findings) -> Iterator[str]:
    entries = value if isinstance(value, list) else [value]
    for entry in entries:
        if not isinstance(entry, str):
            continue
        yield from _ALLOWED.findall(entry)
        rest = _ALLOWED.sub("", entry).strip(" \t\n,")
        if rest:
            findings.warnings.append(_odd(front, rest))


def _odd(front: FrontMatter, rest: str) -> Fault:
    hint = "write names with spaces between them, such as Bash(git:*) Read"
    return front.fault("allowed-tools", f"holds what is no tool: {_shown(rest)}", hint)


def _told(name: str) -> str:
    return f"Tool for {name.replace('_', ' ')}"


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
