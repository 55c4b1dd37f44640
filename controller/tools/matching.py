"""Finding the lines of a text that match, in time that grows with the text alone, whatever the pattern. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import re2

from controller.model.errors import ToolError
from controller.tools.paths import shown

_MOST_PATTERN: Final = 1000
_MOST_MEMORY: Final = 8 << 20
_MOST_STATES: Final = 2000  # a byte costs 5 ns for each of them at the worst, so that a piece is over in a second
_PIECE: Final = 65536
_LINE_END: Final = ord("\n")


class LinePattern:
    """A regular expression as RE2 has them: no backreferences and no lookaround, so that none takes for ever."""

    def __init__(self, pattern: Any) -> None:
        """Raises ToolError on one that cannot be searched for."""
        if not isinstance(pattern, str) or not pattern:
            raise ToolError("there is nothing to search for: give a pattern, a text that is not empty")
        if len(pattern) > _MOST_PATTERN:
            raise ToolError(
                f"a pattern has {_MOST_PATTERN} characters at most, not {len(pattern)}: search for part of it"
            )
        self._regex = _compiled(pattern)
        if self._regex.programsize > _MOST_STATES:
            raise ToolError(f"the pattern {shown(pattern)} has too many repetitions, all written out: use fewer")

    def lines(self, data: bytes, pause: Callable[[], None]) -> Iterator[tuple[int, bytes]]:
        """The matching lines with their numbers, from 1, without their ends. `pause` is called every now and then.

        Of a line of more than 64 KiB each piece of that length is matched by itself.
        """
        number, counted, at = 1, 0, 0
        while at < len(data):
            pause()
            until = _end_of_piece(data, at)
            match = self._regex.search(data, at, until)
            if match is None or (match.start() == until and data[until - 1] == _LINE_END):
                at = until  # an empty match after a line's end is the next line's
                continue
            start = data.rfind(b"\n", 0, match.start()) + 1
            end = data.find(b"\n", match.start())
            end = len(data) if end < 0 else end
            number += data.count(b"\n", counted, start)
            counted = start
            yield number, data[start:end].rstrip(b"\r")
            at = end + 1


def _end_of_piece(data: bytes, at: int) -> int:
    """After the last line that ends within a piece; in the midst of a line that is longer."""
    if at + _PIECE >= len(data):
        return len(data)
    return data.rfind(b"\n", at, at + _PIECE) + 1 or at + _PIECE


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.max_mem = _MOST_MEMORY
    options.never_nl = True
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(f"(?m){pattern}".encode(), options)
    except (re2.error, UnicodeEncodeError) as exc:
        raise ToolError(
            f"the pattern {shown(pattern)} cannot be searched for ({_cause(exc)}): backreferences and lookaround "
            "are not known; put a backslash before ( [ . * + ? | $ ^ { that stand for themselves"
        ) from exc
    finally:
        re2.purge()  # it keeps the last 128, each with its memory


def _cause(exc: Exception) -> str:
    said = exc.args[0] if exc.args and isinstance(exc, re2.error) else "it is no valid text"
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
