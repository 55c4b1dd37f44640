"""Text that others wrote, made safe to print."""

from __future__ import annotations


def printable(value: object) -> str:
    """The value's text on one line, its control characters escaped: on a terminal they could forge what is said."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
