"""Which Python a skill asks for, and whether one is such a Python."""

from __future__ import annotations

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version


def is_readable(wanted: str) -> bool:
    """Whether it is a version (`3.11`) or a PEP 440 specifier (`>=3.10,<3.13`); the empty string is one for any."""
    return _specifier(wanted) is not None


def satisfies(version: str, wanted: str) -> bool:
    """Whether a Python of that version will do. A plain `3.11` is that one or a later minor one; what cannot be read
    asks for nothing.
    """
    specifier = _specifier(wanted)
    return specifier is None or specifier.contains(version, prereleases=True)


def _specifier(wanted: str) -> SpecifierSet | None:
    try:
        least = Version(wanted)
    except InvalidVersion:
        try:
            return SpecifierSet(wanted)
        except InvalidSpecifier:
            return None
    return SpecifierSet(f">={least},<{least.major + 1}")
