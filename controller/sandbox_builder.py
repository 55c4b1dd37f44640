"""The Python API: a skill becomes a sandbox in which its tools run, without a daemon."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from controller.embedded.kept import SkillNote, ToolNote
from controller.embedded.sandboxes import LiveSandbox, Sandboxes
from controller.embedded.toolbox import Toolbox
from controller.model.errors import (
    ConfigError,
    EngineUnavailableError,
    SandboxError,
    SandkeeperError,
)
from controller.model.observed import Capabilities
from controller.model.spec import Isolation
from controller.sandbox.api_errors import as_api_errors
from controller.sandbox.container_config import ContainerConfig
from controller.sandbox.library_logging import log_as_a_library
from controller.sandbox.telling import warn_caller
from controller.skill.definition import SkillDefinition, Tool
from controller.skill.parse import Validation, parse_skill
from controller.tools.registry import ToolRegistry

_MODES: Final = tuple(str(mode) for mode in Isolation)
_FALLBACKS: Final = ("none", "directory")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


class SandboxBuilder:
    """Builds sandboxes from skills, runs their tools, moves and removes them. For any thread; several builders, of
    several processes and of both modes, can share a folder: each knows what the others built.

    As a context manager it removes, at the end of the block, what it has built in it and what is still there; what was
    built before stays.
    """

    def __init__(
        self,
        sandbox_base_path: str | Path = "./sandboxes",
        isolation_mode: str | None = None,
        container_config: ContainerConfig | None = None,
        fallback: str = "none",
        *,
        tools: ToolRegistry | None = None,
    ) -> None:
        """`sandbox_base_path`: the folder of the sandboxes, made where it is not there. `isolation_mode`: `container`,
        `directory`, or None for what $USE_CONTAINER says, else container. `container_config`: for sandboxes that are
        built without one of their own. `fallback`: `directory` builds directory sandboxes, with a RuntimeWarning, where
        there is no engine. `tools`: those that can be run; None: the built-in ones.

        Raises ValueError on what cannot be meant; RuntimeError where container mode has no engine, with the reason.
        """
        mode = _mode_of(os.environ, unset="container") if isolation_mode is None else isolation_mode
        if mode not in _MODES:
            raise ConfigError(f"isolation_mode {mode!r} is not known: write {' or '.join(_MODES)}")
        if fallback not in _FALLBACKS:
            raise ConfigError(f"fallback {fallback!r} is not known: write {' or '.join(_FALLBACKS)}")
        if container_config is not None and not isinstance(container_config, ContainerConfig):
            raise ConfigError("container_config must be a ContainerConfig")
        log_as_a_library()
        self.isolation_mode = mode
        self.container_config = container_config or ContainerConfig()
        self.tools = tools or ToolRegistry.with_builtin()
        self._fallback = fallback
        self._toolbox = Toolbox(self.tools)
        self._built: set[str] = set()
        with as_api_errors():
            self._sandboxes = Sandboxes(Path(sandbox_base_path))
            if mode == Isolation.CONTAINER:
                self._mode_within_reach()

    @classmethod
    def from_env(
        cls, sandbox_base_path: str | Path = "./sandboxes", fallback: str = "none", *, tools: ToolRegistry | None = None
    ) -> Self:
        """As $USE_CONTAINER says (true or false; unset means directory), with ContainerConfig.from_env(). Raises as
        the constructor.
        """
        mode = _mode_of(os.environ, unset="directory")
        return cls(sandbox_base_path, mode, ContainerConfig.from_env(), fallback, tools=tools)

    def build_from_skill_file(self, skill_path: str | Path, container_config: ContainerConfig | None = None) -> str:
        """Build a sandbox from a skill file (Markdown), or a folder with a SKILL.md; its id, a UUID. It runs when this
        returns. What of the skill cannot be had is a UserWarning.

        Raises FileNotFoundError; ValueError where the skill or the configuration cannot be read; RuntimeError where the
        sandbox cannot be made, and then nothing is left of it.
        """
        path = Path(skill_path)
        if not path.exists():
            raise FileNotFoundError(f"there is no skill at {path}")
        try:
            parsed = parse_skill(path, Validation.LENIENT)
        except SandkeeperError as exc:
            if isinstance(exc, ValueError):
                raise
            raise ConfigError(str(exc)) from exc
        for warning in parsed.warnings:
            warn_caller(warning, UserWarning)
        return self._build(parsed.definition, tuple(parsed.packages), container_config)

    def build_from_skill_definition(
        self, skill: SkillDefinition, container_config: ContainerConfig | None = None
    ) -> str:
        """Build a sandbox from a definition; its id. Its tools that have an implementation run with it in this builder;
        another process registers them. Raises ValueError, RuntimeError as build_from_skill_file.
        """
        packages = tuple(str(each) for each in skill.environment_requirements.get("packages") or ())
        return self._build(skill, packages, container_config)

    def get_sandbox_info(self, sandbox_id: str) -> dict[str, Any] | None:
        """What is known of a sandbox; None for an unknown id.

        `sandbox_id, skill_name, skill_description, sandbox_path` (the folder of what is kept of it), `workspace_path`
        (on this machine), `tools` (names of those that can be run), `status` (`running`, `paused`, `stopped`,
        `missing`, `creating`; `unknown` where its engine does not answer), `isolation_mode`, and in container mode
        `container_id`. Raises RuntimeError.
        """
        with as_api_errors():
            standing = self._sandboxes.standing(sandbox_id)
            if standing is None:
                return None
            kept = standing.kept
            info: dict[str, Any] = {
                "sandbox_id": kept.id,
                "skill_name": kept.skill.name,
                "skill_description": kept.skill.description,
                "sandbox_path": str(self._sandboxes.home.folder(kept.id)),
                "workspace_path": standing.workspace,
                "tools": [name for name, tool in self._toolbox.of(kept).items() if tool is not None],
                "status": standing.status,
                "isolation_mode": kept.isolation,
            }
            return info | {"container_id": standing.container_id} if kept.isolation == Isolation.CONTAINER else info

    def list_tools(self, sandbox_id: str) -> list[str]:
        """The names of the tools that can be run in a sandbox: those of its skill, all built-in ones where it names
        none. Raises ValueError on an unknown id.
        """
        with as_api_errors():
            found = self._toolbox.of(self._sandboxes.find(sandbox_id))
        return [name for name, tool in found.items() if tool is not None]

    def list_unavailable_tools(self, sandbox_id: str) -> dict[str, str]:
        """The tools that the skill names and nobody has registered, each with what to do. Raises ValueError on an
        unknown id.
        """
        with as_api_errors():
            found = self._toolbox.of(self._sandboxes.find(sandbox_id))
        missing = (name for name, tool in found.items() if tool is None)
        return {name: f"register a Tool named {name} with this builder's tools" for name in missing}

    def execute_in_sandbox(self, sandbox_id: str, tool_name: str, **kwargs: Any) -> Any:
        """Run a tool in a sandbox with these arguments; what it returns: `read_file` the text, `write_file` the path
        written, `list_files` names, `execute_code` and `run_command` `{exit_code, stdout, stderr, truncated,
        timed_out}`, `codebase_search` lines `path:line:text`.

        Raises ValueError on an unknown sandbox ("not found") or tool ("not available"); RuntimeError with the cause
        where the tool fails, which names the limit where one was reached.
        """
        with as_api_errors():
            kept = self._sandboxes.find(sandbox_id)
            tool = self._toolbox.get(kept, tool_name)
            workspace = Path(self._sandboxes.workspace(kept.id))
        sandbox = LiveSandbox(self._sandboxes, kept.id, workspace, kept.isolation)
        try:
            return tool.run(sandbox, **kwargs)
        except Exception as exc:
            raise SandboxError(f"{tool_name} failed: {str(exc) or type(exc).__name__}") from exc

    def migrate(
        self, sandbox_id: str, isolation_mode: str, container_config: ContainerConfig | None = None
    ) -> dict[str, Any]:
        """Make a directory sandbox a container, or back, on the same workspace; its info then. The old one is frozen,
        the new one has to become Ready, then the old one is removed. `container_config`: None for that of its building.

        Raises ValueError on an unknown id or mode; RuntimeError where it cannot be, and then the old one goes on with
        its processes as they were.
        """
        if isolation_mode not in _MODES:
            raise ConfigError(f"isolation_mode {isolation_mode!r} is not known: write {' or '.join(_MODES)}")
        with as_api_errors():
            self._sandboxes.find(sandbox_id)
            self._sandboxes.migrate(sandbox_id, isolation_mode, container_config)
        return self.get_sandbox_info(sandbox_id) or {}

    def cleanup(self, sandbox_id: str) -> bool:
        """Remove a sandbox with its processes and its workspace; False for an unknown id. Raises RuntimeError where it
        cannot be removed now; it is known still then.
        """
        with as_api_errors():
            removed = self._sandboxes.remove(sandbox_id)
        self._toolbox.drop(sandbox_id)
        self._built.discard(sandbox_id)
        return removed

    def cleanup_all(self) -> int:
        """Remove every sandbox of the folder, whichever builder built it; how many were. Raises RuntimeError once the
        others are removed where some could not be.
        """
        with as_api_errors():
            ids = self._sandboxes.home.ids()
        return self._cleanup(ids)

    def close(self) -> None:
        """Release connections and threads; sandboxes go on."""
        self._sandboxes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._cleanup(sorted(self._built))
        finally:
            self.close()

    def _build(self, skill: SkillDefinition, packages: tuple[str, ...], config: ContainerConfig | None) -> str:
        if config is not None and not isinstance(config, ContainerConfig):
            raise ConfigError("container_config must be a ContainerConfig")
        note = SkillNote(skill.name, skill.description, tuple(map(_noted, skill.tools)), packages)
        used = config or self.container_config
        with as_api_errors():
            mode = self._mode_within_reach() if self.isolation_mode == Isolation.CONTAINER else self.isolation_mode
            try:
                id = self._sandboxes.build(note, mode, used)
            except EngineUnavailableError as exc:
                if mode != Isolation.CONTAINER or self._fallback != "directory":
                    raise
                _warn_of_fallback(str(exc))
                id = self._sandboxes.build(note, "directory", used)
        self._toolbox.bring(id, skill)
        self._built.add(id)
        return id

    def _mode_within_reach(self) -> str:
        """container, or directory where that is asked for instead of an engine that is away."""
        able: Capabilities = self._sandboxes.engine()
        if able.available:
            return "container"
        if self._fallback != "directory":
            raise EngineUnavailableError(able.message, able.reason)
        _warn_of_fallback(able.message)
        return "directory"

    def _cleanup(self, ids: Sequence[str]) -> int:
        removed, failures = 0, []
        for id in ids:
            try:
                removed += self.cleanup(id)
            except SandboxError as exc:
                failures.append(str(exc))
        if failures:
            raise SandboxError(f"{len(failures)} sandboxes are not removed, {removed} are: {failures[0]}")
        return removed


def _noted(tool: Tool) -> ToolNote:
    return ToolNote(tool.name, str(tool.tool_type), tool.description, tool.parameters)


def _mode_of(environ: Mapping[str, str], unset: str) -> str:
    said = environ.get("USE_CONTAINER", "").strip().lower()
    if not said:
        return unset
    if said in _TRUE | _FALSE:
        return "container" if said in _TRUE else "directory"
    raise ConfigError(f"USE_CONTAINER={said!r} is neither true nor false")


def _warn_of_fallback(why: str) -> None:
    warn_caller(f"no Docker engine, so that directory sandboxes are built, which isolate less: {why}", RuntimeWarning)
