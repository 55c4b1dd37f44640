"""From a file's bytes to its lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from controller.model.manifest import Fault
from controller.skill.findings import Findings

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text with \\n as the only line end; `file` is its name as shown to people."""

    file: str
    content: str
    lines: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", tuple(self.content.split("\n")))

    def fault(self, line: int, message: str, hint: str = "", column: int = 1) -> Fault:
        """A fault of this file; lines and columns count from 1."""
        return Fault(self.file, line, column, message, hint=hint)

    def line_of(self, part: str) -> int:
        """The first line that holds the part; 1 where none does."""
        return next((number for number, line in self.numbered() if part in line), 1)

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Each line with its number."""
        yield from enumerate(self.lines, 1)


def decode(file: str, data: bytes, findings: Findings) -> Text:
    """The text of a file. What is not UTF-8 is a refusal, and replaced, so that the rest can be looked at."""
    try:
        content = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        content = data.decode("utf-8", "replace")
        before = _lines_ended(data[: exc.start].decode("utf-8")).split("\n")
        message = f"is not UTF-8 (byte 0x{data[exc.start]:02x})"
        findings.refusals.append(Fault(file, len(before), len(before[-1]) + 1, message, hint="save it as UTF-8"))
    if content.startswith(_BOM):
        content = content.removeprefix(_BOM)
        hint = "save it as UTF-8 without one"
        findings.breaches.append(Fault(file, 1, 1, "begins with a byte order mark", hint=hint))
    return Text(file, _lines_ended(content))


def _lines_ended(content: str) -> str:
    return content.replace("\r\n", "\n").replace("\r", "\n")
