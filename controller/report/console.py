"""A log line as a person reads it on a terminal: when, which sandbox, what, and why."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import click

from controller.model.printable import printable

_GOOD: Final = frozenset({"Ready", "Succeeded", "Restored", "serving"})
_SUBJECT_WIDTH: Final = 26
_WHAT_WIDTH: Final = 17
_SAID_ELSEWHERE: Final = frozenset(
    {"timestamp", "level", "event", "sandbox", "pass_id", "message", "error", "exception", "stack"}
)


class ConsoleLines:
    """The last processor: `{"event": …, "sandbox": …}` to one line of text, with its traceback below it.

    What happened to a sandbox stands out, Ready in green and warnings in yellow; each operation beneath it is dim.
    Control characters are written escaped: messages quote files and programs that may be hostile to a terminal.
    """

    def __init__(self, colors: bool) -> None:
        self._colors = colors

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        """One rendered line, without its end."""
        level = event.get("level", "info")
        name, text, rest = _parts(event)
        quiet = event["event"] == "operation" and event.get("result") == "success"
        subject = printable(event.get("sandbox", "sandkeeper")).ljust(_SUBJECT_WIDTH)
        line = [
            self._style(printable(event.get("timestamp", "")), dim=True),
            self._style(subject, dim=quiet),
            self._style(name.ljust(_WHAT_WIDTH), **_emphasis(level, name, quiet)),
        ]
        if level in ("warning", "error", "critical"):
            line.append(self._style(f"{level}:", **_emphasis(level, name, quiet)))
        line.append(self._style(text, dim=quiet))
        line += [self._style(f"{printable(key)}=", dim=True) + printable(value) for key, value in rest.items()]
        if "pass_id" in event:
            line.append(self._style(f"pass={printable(event['pass_id'])}", dim=True))
        traces = [str(event[part]) for part in ("stack", "exception") if event.get(part)]
        below = [printable(line) for trace in traces for line in trace.splitlines()]
        return "\n".join([" ".join(word for word in line if word), *below])

    def _style(self, text: str, **how: Any) -> str:
        chosen = {name: value for name, value in how.items() if value}
        return click.style(text, **chosen) if self._colors and text and chosen else text


def _parts(event: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """What happened in a word, in a sentence, and the facts beside it that say something."""
    rest = {key: value for key, value in event.items() if key not in _SAID_ELSEWHERE and value not in ("", None)}
    text = event.get("message") or event.get("error") or ""
    if event["event"] == "event":  # of a sandbox's: its reason is its name
        return printable(rest.pop("reason", "")), printable(text), rest
    if event["event"] != "operation":
        return printable(event["event"]), printable(text), rest
    milliseconds, result = rest.pop("milliseconds", None), rest.pop("result", "success")
    words = [printable(rest.pop("cause", ""))]
    words += [] if milliseconds is None else [f"{milliseconds:.0f} ms"]
    words += [] if result == "success" else [printable(result)]
    return printable(rest.pop("operation", "operation")), " · ".join(word for word in words if word), rest


def _emphasis(level: str, name: str, quiet: bool) -> dict[str, Any]:
    if level in ("error", "critical"):
        return {"fg": "red", "bold": True}
    if level == "warning":
        return {"fg": "yellow", "bold": True}
    return {"fg": "green", "bold": True} if name in _GOOD else {"bold": not quiet, "dim": quiet}
