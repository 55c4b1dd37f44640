"""Checks of what a ContainerConfig is given. Pure; each raises ConfigError, which says what can be written."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from controller.model.capabilities import GRANTABLE
from controller.model.errors import ConfigError
from controller.model.quantity import format_memory

LEAST_MEMORY: Final = 6 << 20  # the engine's own floor
LEAST_PIDS: Final = 2
_MEMORY: Final = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))?\s*([a-z]{0,3})", re.ASCII)
_LETTERS: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_UNITS: Final = {
    "": 1,
    "b": 1,
    **{f"{letter}{rest}": size for letter, size in _LETTERS.items() for rest in ("", "b", "i", "ib")},
}
_LARGEST: Final = (1 << 63) - 1
_IMAGE: Final = re.compile(r"[A-Za-z0-9][^\s]{0,511}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}", re.ASCII)
_USER: Final = re.compile(r"\d{1,10}(:\d{1,10})?", re.ASCII)
_NO_NEW_PRIVILEGES: Final = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")


def memory_bytes(text: str) -> int:
    """Bytes from Docker's units in any case: all of them are binary, as the engine takes them."""
    if not isinstance(text, str):
        raise ConfigError(f"Memory limit must be a string, not {text!r}: write 512m or 1g")
    if not text.strip():
        raise ConfigError("Memory limit cannot be empty: write 512m or 1g, or leave it out")
    matched = _MEMORY.fullmatch(text.strip().lower())
    if matched is None or matched[3] not in _UNITS or (matched[2] and _UNITS[matched[3]] == 1):
        raise ConfigError(f"Invalid memory format {text!r}: write 512m, 1g, 2GB or whole bytes")
    size = int(Decimal(f"{matched[1]}.{matched[2] or 0}") * _UNITS[matched[3]])
    if size < LEAST_MEMORY:
        raise ConfigError(f"memory of {text} is below the least that an engine takes: write 6m or more")
    if size > _LARGEST:
        raise ConfigError(f"memory of {text} is more than any machine has: write 512m or 1g")
    return size


def cpu_millis(cpus: float | str) -> int:
    """Thousandths of a core."""
    if isinstance(cpus, bool) or not isinstance(cpus, int | float | str):
        raise ConfigError(f"Invalid CPU format {cpus!r}: write 0.5 or 2")
    try:
        millis = Decimal(str(cpus)) * 1000
    except InvalidOperation as exc:
        raise ConfigError(f"Invalid CPU format {cpus!r}: write 0.5 or 2") from exc
    if not millis.is_finite() or millis > 10**9:
        raise ConfigError(f"Invalid CPU format {cpus!r}: write 0.5 or 2")
    if millis <= 0:
        raise ConfigError(f"CPU limit must be positive, not {cpus!r}")
    if millis != int(millis):
        raise ConfigError(f"Invalid CPU format {cpus!r}: it is finer than a thousandth of a core, such as 0.125")
    return int(millis)


def check_pids(pids: int) -> None:
    """A number of processes and threads."""
    if isinstance(pids, bool) or not isinstance(pids, int):
        raise ConfigError(f"pids_limit must be a whole number, not {pids!r}")
    if pids <= 0:
        raise ConfigError(f"pids_limit must be positive, not {pids}")
    if pids < LEAST_PIDS or pids > 1 << 22:
        raise ConfigError(
            f"pids_limit of {pids} cannot be: write {LEAST_PIDS} or more, one is the container's own init"
        )


def open_files(ulimits: Sequence[Mapping[str, Any]]) -> int | None:
    """The limit of open files that ulimits ask for; None where they ask for none."""
    if not isinstance(ulimits, list | tuple):
        raise ConfigError('ulimits must be a list such as [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]')
    found = None
    for one in ulimits:
        if not isinstance(one, Mapping):
            raise ConfigError(f"Each ulimit must be a dict with Name, Soft and Hard, not {one!r}")
        if not one:
            raise ConfigError("ulimit dict cannot be empty: it has Name, Soft and Hard")
        name, soft, hard = _ulimit(one)
        if name == "core" and soft == hard == 0:
            continue  # so it is in any case
        if name != "nofile":
            raise ConfigError(
                f"the ulimit {name} cannot be set: nofile can, core is always 0, processes are limited by pids_limit"
            )
        if soft != hard or soft < 1:
            raise ConfigError(
                f"nofile is one number, soft and hard: Soft {soft} and Hard {hard} must be the same, above 0"
            )
        found = soft
    return found


def _ulimit(one: Mapping[str, Any]) -> tuple[str, int, int]:
    given = {str(name).lower(): value for name, value in one.items()}
    soft = given.get("soft", given.get("hard"))
    hard = given.get("hard", soft)
    numbers = [isinstance(value, int) and not isinstance(value, bool) for value in (soft, hard)]
    if set(given) - {"name", "soft", "hard"} or not isinstance(given.get("name"), str) or not all(numbers):
        raise ConfigError(f"{dict(one)!r} is no ulimit: it has Name, Soft and Hard, the two in whole numbers")
    return str(given["name"]), int(soft or 0), int(hard or 0)


def check_image(image: str) -> None:
    """An image's reference."""
    if not isinstance(image, str) or not image.strip():
        raise ConfigError("base_image cannot be empty: write python:3.11-slim")
    if _IMAGE.fullmatch(image) is None:
        raise ConfigError(f"base_image {image!r} is no image reference such as python:3.11-slim")


def check_network(mode: str) -> None:
    """none or bridge."""
    if mode not in ("none", "bridge"):
        why = "a sandbox never shares the host's network; " if mode == "host" else ""
        raise ConfigError(f"Invalid network_mode {mode!r}: {why}write none or bridge")


def tmpfs_sizes(tmpfs: Sequence[str]) -> dict[str, int | None]:
    """The size in bytes that each path is given, None where none is said."""
    if not isinstance(tmpfs, list | tuple):
        raise ConfigError('tmpfs must be a list of paths such as ["/tmp"]')
    found: dict[str, int | None] = {}
    for entry in tmpfs:
        if not isinstance(entry, str):
            raise ConfigError(f"tmpfs paths must be strings, not {entry!r}")
        path, _, options = entry.partition(":")
        if not _is_plain(path):
            raise ConfigError(f"tmpfs paths must be absolute and plain, not {path!r}")
        if options and not options.startswith("size="):
            raise ConfigError(f"tmpfs {entry!r}: size=64m is the one option; noexec, nosuid and nodev are always set")
        if path in found:
            raise ConfigError(f"tmpfs names {path} twice")
        found[path] = _tmpfs_size(options.removeprefix("size=")) if options else None
    return found


def _tmpfs_size(text: str) -> int:
    matched = _MEMORY.fullmatch(text.strip().lower())
    if matched is None or matched[3] not in _UNITS:
        raise ConfigError(f"tmpfs size {text!r} cannot be read: write size=64m")
    return int(Decimal(f"{matched[1]}.{matched[2] or 0}") * _UNITS[matched[3]])


def check_environment(variables: Mapping[str, str]) -> None:
    """Names and values of environment variables."""
    if not isinstance(variables, Mapping):
        raise ConfigError('environment_vars must be a dict such as {"LANG": "C.UTF-8"}')
    for name, value in variables.items():
        if not isinstance(name, str) or _VARIABLE.fullmatch(name) is None:
            raise ConfigError(f"environment_vars: {name!r} is no variable's name: letters, digits and _")
        if not isinstance(value, str) or "\0" in value:
            raise ConfigError(f"environment_vars: {name} must be text without zero bytes")


def check_volumes(volumes: Mapping[str, Mapping[str, str]]) -> None:
    """Host folders and where they are bound."""
    if not isinstance(volumes, Mapping):
        raise ConfigError('volumes must be a dict such as {"/data": {"bind": "/data", "mode": "ro"}}')
    for source, mount in volumes.items():
        if not isinstance(source, str) or not source.startswith("/"):
            raise ConfigError(
                f"volumes: {source!r} must be an absolute path of this machine; named volumes are not had"
            )
        if not isinstance(mount, Mapping) or set(mount) - {"bind", "mode"} or "bind" not in mount:
            raise ConfigError(f'volumes: {source} needs {{"bind": path, "mode": "ro" or "rw"}}')
        if mount.get("mode", "rw") not in ("ro", "rw"):
            raise ConfigError(f"volumes: {source} has mode {mount['mode']!r}: write ro or rw")
        if not isinstance(mount["bind"], str) or not _is_plain(mount["bind"]):
            raise ConfigError(f"volumes: {source} must be bound to a plain absolute path, not {mount['bind']!r}")


def check_working_dir(path: str) -> None:
    """A folder inside the sandbox."""
    if not isinstance(path, str) or not path:
        raise ConfigError("working_dir cannot be empty: write /workspace")
    if not _is_plain(path):
        raise ConfigError(f"working_dir must be an absolute path without .. in it, not {path!r}")


def check_user(user: str) -> None:
    """uid or uid:gid, not root's."""
    if not isinstance(user, str) or _USER.fullmatch(user) is None:
        raise ConfigError(f"user {user!r}: write uid:gid in numbers, such as 10001:10001")
    if int(user.partition(":")[0]) == 0:
        raise ConfigError("user 0: root is not given to a sandbox; write 10001:10001, or leave it out")


def check_cap_drop(dropped: Sequence[str]) -> None:
    """All."""
    if [name.upper() for name in _names(dropped, "cap_drop")] != ["ALL"]:
        raise ConfigError('cap_drop is always ["ALL"]: name in cap_add what is to be given back')


def capabilities(added: Sequence[str]) -> list[str]:
    """Their names as a manifest has them, sorted."""
    names = sorted({name.upper().removeprefix("CAP_") for name in _names(added, "cap_add")})
    for name in names:
        if name not in GRANTABLE:
            raise ConfigError(
                f"Invalid capability in cap_add: {name} is never given; there are {', '.join(sorted(GRANTABLE))}"
            )
    return names


def check_security_opt(options: Sequence[str]) -> None:
    """No new privileges, and nothing else."""
    named = _names(options, "security_opt")
    unknown = [option for option in named if option not in _NO_NEW_PRIVILEGES]
    if unknown or not named:
        what = f"{unknown[0]!r} cannot be set" if unknown else "it cannot be left out"
        raise ConfigError(
            f'security_opt is always ["no-new-privileges:true"] with the engine\'s seccomp profile: {what}'
        )


def whole_number(name: str, text: str) -> int:
    """A variable's whole number."""
    if not text.strip().isdecimal():
        raise ConfigError(f"{name}={text!r} must be a whole number")
    return int(text)


def shown_memory(size: int) -> str:
    """A size as a limit is written: `64m` for 67108864."""
    return format_memory(size).removesuffix("i").lower()


def _names(values: Iterable[str], field: str) -> list[str]:
    if not isinstance(values, list | tuple):
        raise ConfigError(f"{field} must be a list")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            what = "capability" if field.startswith("cap") else "entry"
            raise ConfigError(f"Invalid {what} in {field}: {value!r}")
    return list(values)


def _is_plain(path: str) -> bool:
    return path.startswith("/") and posixpath.normpath(path) == path and "\0" not in path
