"""What a skill requires: Python packages, and what no Python installer could give it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from controller.skill.findings import Findings
from controller.skill.text import Text

# Most of these names are taken on PyPI too, by packages that are something else, or that anybody may publish.
NOT_PYTHON: Final = frozenset(
    word
    for words in (
        "angular apt apt-get aws-cli brew bun bundler cargo chrome chromium cpp csharp curl deno dotnet elixir",
        "erlang esbuild eslint express ffmpeg firefox gcc gem ghostscript git gnuplot go golang gradle helm",
        "homebrew imagemagick java javac jdk jre julia kotlin kubectl latex libreoffice make maven mongodb next",
        "next-js nextjs node node-js nodejs npm npx nvm openssl php pnpm poppler poppler-utils postcss postgresql",
        "prettier r react react-dom ripgrep ruby rust rustc rustup sass ssh svelte tailwind tailwindcss terraform",
        "tesseract tesseract-ocr texlive ts-node typescript unzip vite vue webpack wget xelatex yarn zip zsh",
    )
    for word in words.split()
)
"""Names, normalized, that mean something other than a package of Python's."""

PRESENT: Final = frozenset({"awk", "bash", "cat", "dash", "env", "perl", "python", "python3", "sed", "sh"})
"""Interpreters that every image of Python's has."""

MOST: Final = 1000
"""Requirements of one skill."""

_LONGEST: Final = 500
_PYTHON: Final = re.compile(
    r"\bc?python(?: version)?[ \t]{0,9}[:=(]?[ \t]{0,9}(?:>=|==|~=|>|\^|v)?[ \t]{0,9}"
    r"(\d{1,3}(?:\.\d{1,3}){0,2})(?:\.[x*])?(?=$|[\s+,;)]|-\d|\.(?:\s|$))",
    re.IGNORECASE,
)
_BARE_PYTHON: Final = re.compile(r"c?python ?[23]?", re.IGNORECASE)
_EXPLAINED: Final = re.compile(r"\s(?:[-–—#]\s|\()|[:,]\s")  # noqa: RUF001
_NAME_AND_VERSION: Final = re.compile(r"@?([A-Za-z][\w.-]{0,99})\s*(?:(?:[@>=<~^(]|v?\d).*)?")
_USUAL_PYTHON: Final = "3.11"
_PYTHONS: Final = tuple(f"3.{minor}" for minor in range(6, 21))


@dataclass(frozen=True, slots=True)
class Package:
    """A Python requirement (PEP 508) as written, and the file and line that ask for it."""

    requirement: str
    file: str
    line: int


@dataclass(slots=True)
class Requirements:
    """All that a skill requires, as it is found.

    `python` is the version that the skill names and `python_from` who says so; `not_python` maps other names to
    where they stand.
    """

    packages: dict[str, Package] = field(default_factory=dict)
    not_python: dict[str, str] = field(default_factory=dict)
    python: str = ""
    python_from: str = ""
    bounds: list[tuple[SpecifierSet, str]] = field(default_factory=list)
    seen: int = 0

    def add(self, written: str, text: Text, line: int, findings: Findings) -> None:
        """Take one requirement, or warn of why it is left out."""
        self.seen += 1
        if self.seen > MOST:
            if self.seen == MOST + 1:
                message = f"the skill has more than {MOST} requirements"
                findings.refusals.append(text.fault(line, message, "name what it uses itself"))
            return
        requirement = written.strip()
        foreign, problem = _not_python_name(requirement), _problem(requirement)
        if foreign:
            self._leave_out(foreign, text, line, findings)
        elif problem:
            findings.warnings.append(text.fault(line, f"{_shown(requirement)} {problem}", "it is left out"))
        elif canonicalize_name(Requirement(requirement).name) != "python":
            self.packages.setdefault(re.sub(r"\s+", "", requirement).lower(), Package(requirement, text.file, line))

    def add_program(self, name: str, text: Text, findings: Findings) -> None:
        """Take the program that a script's first line names."""
        if name not in PRESENT:
            self._leave_out(name, text, 1, findings)

    def _leave_out(self, name: str, text: Text, line: int, findings: Findings) -> None:
        if name not in self.not_python:
            message = f"{name} is no Python package and is not installed"
            findings.warnings.append(text.fault(line, message, "use an image that has it"))
        self.not_python.setdefault(name, f"{text.file}:{line}")

    def name_python(self, version: str, source: str) -> None:
        """Take the version of Python that is named, unless another was before."""
        if not self.python:
            self.python, self.python_from = version, source

    def bound_python(self, written: str, text: Text, line: int, findings: Findings) -> None:
        """Take a `requires-python`."""
        try:
            self.bounds.append((SpecifierSet(written[:_LONGEST]), f"{text.file}:{line}"))
        except InvalidSpecifier:
            message = f"requires-python {_shown(written)} cannot be read"
            findings.warnings.append(text.fault(line, message, "write it as >=3.11"))

    def settle_python(self, findings: Findings, text: Text) -> None:
        """Decide on the version from all that was found: the named one, else what the bounds allow, 3.11 first."""
        if not self.bounds:
            return
        if not self.python:
            allowed = [version for version in (_USUAL_PYTHON, *_PYTHONS) if _allows(self.bounds, version)]
            self.python, self.python_from = (allowed[0], self.bounds[0][1]) if allowed else ("", "")
        for specifiers, source in self.bounds:
            if not _allows([(specifiers, source)], self.python or _USUAL_PYTHON):
                message = f"Python {self.python or _USUAL_PYTHON} is not what {source} asks for, {specifiers}"
                findings.warnings.append(text.fault(1, message, "name a version that all of them allow"))


def split_item(written: str) -> list[str]:
    """The requirements of a list item, without what explains them: `requests - for HTTP` is `requests`."""
    item = written.strip()
    parts = [part.strip() for part in item.split(",")]
    if _is_requirement(item):
        return [item]
    if all(_is_requirement(part) for part in parts):
        return parts
    return [item if _not_python_name(item) else _EXPLAINED.split(item, maxsplit=1)[0].rstrip(" \t:,")]


def python_version(written: str, anywhere: bool = False) -> str:
    """The version that a text names at its beginning, or anywhere in it: 3.11 of `Python >= 3.11`; else empty."""
    text = written.strip()[:_LONGEST]
    found = _PYTHON.search(text) if anywhere else _PYTHON.match(text)
    return found[1] if found else ""


def is_bare_python(written: str) -> bool:
    """Whether the text is Python's name, without a version that matters."""
    return _BARE_PYTHON.fullmatch(written.strip()) is not None


def _not_python_name(written: str) -> str:
    """The name, where it is known to be none of Python's: `Node.js 18+` is `Node.js`."""
    found = _NAME_AND_VERSION.fullmatch(written[:_LONGEST])
    return found[1] if found and canonicalize_name(found[1]) in NOT_PYTHON else ""


def _problem(requirement: str) -> str:
    if not _is_requirement(requirement):
        return "is no requirement of a Python package"
    return "names where to get it, which is not taken" if Requirement(requirement).url else ""


def _is_requirement(text: str) -> bool:
    if len(text) > _LONGEST:
        return False
    try:
        Requirement(text)
    except (InvalidRequirement, RecursionError):
        return False
    return True


def _allows(bounds: Iterable[tuple[SpecifierSet, str]], version: str) -> bool:
    # Any release of that minor version will do.
    releases = [version, *(f"{version}.{patch}" for patch in (1, 99))] if version.count(".") == 1 else [version]
    return all(any(specifiers.contains(release) for release in releases) for specifiers, _ in bounds)


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
