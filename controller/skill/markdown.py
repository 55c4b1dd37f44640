"""As much of Markdown as a skill file needs: headings, sections, list items, paragraphs, and what is only code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?")
_CLOSING: Final = re.compile(r"(?:^|[ \t])#+$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ITEM: Final = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+(\S.*)")
_LONGEST_LINE: Final = 10_000
"""Longer lines are nobody's heading or list item, and are not matched against anything."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line outside of headings; `code`: it belongs to a fenced block."""

    number: int
    text: str
    code: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one heading, up to the next heading of any level. Level 0 is what comes before the first."""

    level: int
    title: str
    number: int
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """Its lines as they are, without blank ones around them."""
        return "\n".join(line.text for line in self.lines).strip()


def sections(lines: Sequence[str], first: int = 1) -> list[Section]:
    """The sections of a text whose first line has that number; `#` in fenced code is no heading."""
    found: list[Section] = []
    level, title, number, below = 0, "", first, list[Line]()
    fence = ""
    for at, line in enumerate(lines, first):
        text = line[:_LONGEST_LINE].rstrip()
        fenced = _FENCE.fullmatch(text)
        if fence:
            below.append(Line(at, line, code=True))
            if fenced and fenced[1].startswith(fence) and not fenced[2].strip():
                fence = ""
            continue
        if fenced and not (fenced[1][0] == "`" and "`" in fenced[2]):
            fence = fenced[1]
            below.append(Line(at, line, code=True))
            continue
        heading = _HEADING.fullmatch(text)
        if heading is None:
            below.append(Line(at, line))
            continue
        found.append(Section(level, title, number, tuple(below)))
        level, title, number, below = len(heading[1]), _CLOSING.sub("", (heading[2] or "").strip()).strip(), at, []
    found.append(Section(level, title, number, tuple(below)))
    return found


def with_subsections(found: Sequence[Section], index: int) -> Section:
    """A section with all that its deeper headings hold, those headings included."""
    whole = found[index]
    lines = list(whole.lines)
    for below in found[index + 1 :]:
        if below.level <= whole.level:
            break
        lines += [Line(below.number, f"{'#' * below.level} {below.title}"), *below.lines]
    return Section(whole.level, whole.title, whole.number, tuple(lines))


def items(section: Section) -> Iterator[Line]:
    """The items of its lists, of any depth, without their markers; code is none."""
    for line in section.lines:
        item = None if line.code else _ITEM.fullmatch(line.text[:_LONGEST_LINE])
        if item is not None:
            yield Line(line.number, item[1].rstrip())


def is_item(line: str) -> bool:
    """Whether a line begins a list item."""
    return _ITEM.fullmatch(line[:_LONGEST_LINE]) is not None


def first_paragraph(found: Sequence[Section]) -> str:
    """The first run of lines that is not code, on one line; empty where there is none."""
    for section in found:
        paragraph: list[str] = []
        for line in section.lines:
            if line.text.strip() and not line.code:
                paragraph.append(line.text.strip())
            elif paragraph:
                break
        if paragraph:
            return " ".join(paragraph)
    return ""


def plain(text: str) -> str:
    """The text without the marks of emphasis and code."""
    without_bold = re.sub(r"\*\*([^*\n]+)\*\*", r"\1", text)
    return re.sub(r"`([^`\n]+)`", r"\1", without_bold)
