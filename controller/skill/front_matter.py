"""The YAML front matter of an Agent Skill: every scalar is text, as in the reference validator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml import events

from controller.model.manifest import Fault
from controller.skill.findings import Findings
from controller.skill.text import Text
from controller.strict_yaml.reader import YamlDocument, YamlFile, read_yaml

_MARK: Final = "---"
_UNQUOTED: Final = re.compile(r"([A-Za-z][\w-]*):[ \t]+([^\s\"'|>\[{&*!#].*)")


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """What stands between the two `---`, and the body below, whose first line has the number `body_line`.

    `document` is None where there is no mapping.
    """

    text: Text
    document: YamlDocument | None
    body: Sequence[str]
    body_line: int

    @property
    def fields(self) -> dict[str, Any]:
        """The fields by name: text, lists and maps of text."""
        return dict(self.document.root.data) if self.document is not None else {}

    def fault(self, name: str, message: str, hint: str = "") -> Fault:
        """A fault of a field, where its value begins; of one that is not there, at the front matter's beginning."""
        at = self.document.place((name,)) if self.document is not None and name in self.fields else (1, 1)
        return Fault(self.text.file, *at, message, field=name, hint=hint)

    def key_fault(self, name: str, message: str, hint: str = "") -> Fault:
        """A fault of a field that is there, where its name stands."""
        at = self.document.key_place((name,)) if self.document is not None else (1, 1)
        return Fault(self.text.file, *at, message, field=name, hint=hint)


def has_front_matter(text: Text) -> bool:
    """Whether a file begins with front matter, whole or not."""
    return text.lines[0].rstrip() == _MARK


def read_front_matter(text: Text, lenient: bool, findings: Findings) -> FrontMatter:
    """The front matter of a file that has some; its `document` is None where that cannot be read.

    Lenient: values that hold ': ' are taken as text where the YAML is broken otherwise, as people write it.
    """
    closed = next((at for at, line in enumerate(text.lines[1:], 1) if line.rstrip() == _MARK), None)
    if closed is None:
        findings.refusals.append(text.fault(1, "the front matter is not closed", "end it with a line ---"))
        return FrontMatter(text, None, text.lines[1:], 2)
    # An empty line in place of the first mark keeps every line's number.
    block = ["", *text.lines[1:closed]]
    parsed = _parse(text, block)
    if lenient and parsed.broken is not None:
        quoted = [_quoted(line) for line in block]
        again = _parse(text, quoted)
        if again.broken is None:
            findings.warnings.append(parsed.broken)
            parsed, block = again, quoted
    if parsed.broken is not None:
        findings.refusals.append(parsed.broken)
        return FrontMatter(text, None, text.lines[closed + 1 :], closed + 2)
    document = _mapping(text, parsed, findings)
    if document is not None:
        findings.breaches += [*document.faults, *_style(text, block)]
    return FrontMatter(text, document, text.lines[closed + 1 :], closed + 2)


def _parse(text: Text, block: Sequence[str]) -> YamlFile:
    return read_yaml("\n".join(block) + "\n", text.file, resolve=str)


def _mapping(text: Text, parsed: YamlFile, findings: Findings) -> YamlDocument | None:
    if not parsed.documents or not parsed.documents[0].root.data:
        findings.breaches.append(text.fault(1, "the front matter is empty", "begin with name: and description:"))
        return None
    if len(parsed.documents) > 1 or not isinstance(parsed.documents[0].root.data, dict):
        findings.refusals.append(text.fault(2, "the front matter is not one mapping", "write fields as 'name: value'"))
        return None
    return parsed.documents[0]


def _style(text: Text, block: Sequence[str]) -> Iterator[Fault]:
    """What is YAML, and no Agent Skill's: the reference validator takes neither flow style nor anchors."""
    for event in yaml.parse("\n".join(block) + "\n", Loader=yaml.CSafeLoader):
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        if isinstance(event, events.CollectionStartEvent) and event.flow_style:
            yield text.fault(line, "brackets and braces are not taken", "write one entry a line, indented", column)
        if isinstance(event, events.NodeEvent) and event.anchor is not None:
            yield text.fault(line, "anchors and aliases are not taken", "write the value out", column)


def _quoted(line: str) -> str:
    """A line with its value in quotes, where it has one that holds ': ' and is in none."""
    found = _UNQUOTED.fullmatch(line)
    if found is None or (": " not in found[2] and not found[2].rstrip().endswith(":")):
        return line
    value = found[2].rstrip().replace("'", "''")
    return f"{found[1]}: '{value}'"
