"""Code and commands of a skill, run inside its sandbox."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controller.model.errors import ToolError
from controller.model.printable import printable
from controller.skill.definition import Completed, ToolSandbox

DEFAULT_SECONDS: Final = 60.0
MOST_SECONDS: Final = 3600.0
_MOST_CODE: Final = 8 << 20
_MOST_WORD: Final = 128 * 1024 - 1  # the kernel takes no longer one
_TIMED_OUT: Final = 124
_CANNOT_RUN: Final = (126, 127)


@dataclass(frozen=True, slots=True)
class Language:
    """How code is run: programs to try in turn, each as arguments. `by_stdin`: the code is fed, else it comes last.

    `nothing` is a code that does nothing.
    """

    programs: tuple[tuple[str, ...], ...]
    nothing: str
    by_stdin: bool = True
    env: Mapping[str, str] = field(default_factory=dict)


_PYTHON: Final = Language((("python3", "-"), ("python", "-")), "pass", env={"PYTHONUNBUFFERED": "1"})
_NODE: Final = Language((("node", "-"), ("nodejs", "-")), "0")
_BASH: Final = Language((("bash", "-c"),), ":", by_stdin=False)
_SH: Final = Language((("sh", "-c"),), ":", by_stdin=False)
LANGUAGES: Final[Mapping[str, Language]] = {
    "python": _PYTHON,
    "python3": _PYTHON,
    "javascript": _NODE,
    "js": _NODE,
    "node": _NODE,
    "bash": _BASH,
    "shell": _BASH,
    "sh": _SH,
}


def execute_code(
    sandbox: ToolSandbox, code: str, language: str = "python", timeout: float = DEFAULT_SECONDS
) -> dict[str, Any]:
    """Run code in the workspace; the answer is as `run_command`'s. What it reads from stdin is at its end.

    Raises ToolError where the language is not known, or its interpreter is not in the sandbox.
    """
    known = LANGUAGES.get(language.lower()) if isinstance(language, str) else None
    if known is None:
        names = ", ".join(LANGUAGES)
        raise ToolError(f"cannot run {printable(language)[:100]}: use one of {names}; or run_command, for a program")
    _refuse_code(code, known)
    seconds = _seconds(timeout)
    for program in known.programs:
        answer = _run_program(sandbox, program, known, code, seconds)
        if answer is not None:
            return answer
    tried = " nor ".join(program[0] for program in known.programs)
    raise ToolError(
        f"no interpreter of {language} is in the sandbox (neither {tried} can be run): use an image that has it, or "
        "another language"
    )


def run_command(sandbox: ToolSandbox, command: str | Sequence[str], timeout: float = DEFAULT_SECONDS) -> dict[str, Any]:
    """Run a command line by `sh -c`, or a list of words as it is, in the workspace.

    Answers `exit_code`, `stdout` and `stderr` (text), `truncated` (whether some of them was left out) and `timed_out`:
    after `timeout` seconds it is killed with all its processes. A status other than 0 is no failure of the tool.
    Raises ToolError, RuntimeFailure.
    """
    words = ("sh", "-c", command) if isinstance(command, str) else _words(command)
    if not words or not words[-1 if isinstance(command, str) else 0].strip():
        raise ToolError("there is no command: give a command line, or a list that begins with a program")
    _refuse_words(words)
    return _run(sandbox, words, b"", _seconds(timeout))


def _words(command: Any) -> tuple[str, ...]:
    if not isinstance(command, (list, tuple)) or not all(isinstance(word, str) for word in command):
        raise ToolError("a command is a text or a list of texts: give one of them")
    return tuple(command)


def _refuse_words(words: Sequence[str]) -> None:
    for word in words:
        if "\0" in word or not _is_text(word):
            raise ToolError("the command has characters that no argument can have (NUL, surrogates): leave them out")
        if len(word.encode()) > _MOST_WORD:
            raise ToolError(f"an argument has more than {_MOST_WORD} bytes: write it to a file and run that")


def _refuse_code(code: Any, language: Language) -> None:
    if not isinstance(code, str) or not _is_text(code):
        raise ToolError("code is a text of valid characters: give one")
    if not language.by_stdin:
        _refuse_words([code])
    elif len(code) > _MOST_CODE:
        raise ToolError(f"the code has more than {_MOST_CODE} characters: write it to files and run those")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _seconds(timeout: Any) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= MOST_SECONDS:
        raise ToolError(f"a timeout is more than 0 and at most {MOST_SECONDS:g} seconds: give such a number")
    return float(timeout)


def _run_program(
    sandbox: ToolSandbox, program: tuple[str, ...], language: Language, code: str, seconds: float
) -> dict[str, Any] | None:
    """None where the program is not there: a status can be the code's own, so nothing is run to see."""
    answer = _run(sandbox, *_call(program, language, code), seconds, language.env)
    if answer["exit_code"] not in _CANNOT_RUN:
        return answer
    probe = _run(sandbox, *_call(program, language, language.nothing), seconds)
    return None if probe["exit_code"] in _CANNOT_RUN else answer


def _call(program: tuple[str, ...], language: Language, code: str) -> tuple[tuple[str, ...], bytes]:
    return (program, code.encode()) if language.by_stdin else ((*program, code), b"")


def _run(
    sandbox: ToolSandbox, words: tuple[str, ...], stdin: bytes, seconds: float, env: Mapping[str, str] | None = None
) -> dict[str, Any]:
    began = time.monotonic()
    done = sandbox.exec(words, stdin=stdin, timeout=seconds, env=env or {})
    took = time.monotonic() - began
    return _answer(done, timed_out=done.exit_code == _TIMED_OUT and took >= seconds)


def _answer(done: Completed, *, timed_out: bool) -> dict[str, Any]:
    return {
        "exit_code": done.exit_code,
        "stdout": done.stdout.decode("utf-8", "replace"),
        "stderr": done.stderr.decode("utf-8", "replace"),
        "truncated": done.truncated,
        "timed_out": timed_out,
    }
