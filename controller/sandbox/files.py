"""Where a configuration is kept: a TOML file, a Python file, or a module that can be imported."""

from __future__ import annotations

import importlib
import runpy
import tomllib
from pathlib import Path
from typing import Any, Final

from controller.model.errors import ConfigError

_NAME: Final = "CONTAINER_CONFIG"


def read_config(path: str | Path) -> Any:
    """What a TOML file says, or the CONTAINER_CONFIG of a Python file or of a module named by a dotted name.

    Raises FileNotFoundError, ConfigError.
    """
    text = str(path)
    if text.endswith(".toml"):
        return _from_toml(Path(path))
    if text.endswith(".py"):
        return _held(_executed(Path(path)), text)
    if "/" in text or not all(part.isidentifier() for part in text.split(".")):
        raise ConfigError(f"{text!r} is neither a .toml nor a .py file nor a module's name")
    try:
        return _held(vars(importlib.import_module(text)), text)
    except ImportError as exc:
        raise ConfigError(f"the module {text} cannot be imported: {exc}") from exc


def _from_toml(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        try:
            return tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{path} is not TOML: {exc}") from exc


def _executed(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    return runpy.run_path(str(path))


def _held(names: dict[str, Any], where: str) -> Any:
    if _NAME not in names:
        raise ConfigError(f"{where} holds no {_NAME}")
    return names[_NAME]
