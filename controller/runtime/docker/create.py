"""Making a container: everything that it needs looked at first, then one call."""

from __future__ import annotations

import re
from typing import Any, Final

from controller.model.errors import ConflictError, InstanceNotFoundError, NotOwnedError, RuntimeFailure, StateError
from controller.model.identity import LABEL_INSTANCE, Owner
from controller.model.skill import SKILL_VARIABLE
from controller.model.spec import Desired, SandboxSpec
from controller.runtime.docker.binds import check_again, checked_binds
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.container import Container
from controller.runtime.docker.health import EngineHealth
from controller.runtime.docker.networks import Networks
from controller.runtime.docker.profile import Host, bind, container_body, runtime_of
from controller.runtime.secrets import Secrets
from controller.runtime.skill_files import require_skill_files
from controller.runtime.workspace import WorkspaceFolder

_NUMERIC_USER: Final = re.compile(r"\d+(:\d+)?")


class Creator:
    """Prepares and creates containers of one instance. For any thread."""

    def __init__(
        self,
        client: EngineClient,
        config: DockerConfig,
        health: EngineHealth,
        workspaces: WorkspaceFolder,
        networks: Networks,
    ) -> None:
        self._client = client
        self._config = config
        self._health = health
        self._workspaces = workspaces
        self._networks = networks

    def check(self, spec: SandboxSpec, secrets: Secrets) -> None:
        """Fail now with what a create would fail with, while there is nothing to lose."""
        runtime_of(spec.runtime_class, self._health.runtimes())
        self._binds(spec)
        environment_of(spec, secrets)

    def create(self, desired: Desired, owner: Owner, secrets: Secrets, image: str = "") -> str:
        """Create it under its deterministic name; its id. `image` is taken in place of the spec's own."""
        spec = desired.spec
        host = Host(
            workspace=self._workspace(owner.uid, spec.user),
            env=environment_of(spec, secrets),
            mounts=self._binds(spec),
            network=self._networks.name_of(owner.key.namespace),
            max_cpu=self._health.max_cpu(),
            runtimes=self._health.runtimes(),
            default_runtime=self._health.default_runtime(),
            image=image,
        )
        name = self._config.name_of(owner.instance, owner.key, owner.slot)
        body = container_body(desired, owner, host)
        try:
            answer = self._client.post(
                "/containers/create", body, params={"name": name}, read=self._config.timeouts.slow
            )
        except ConflictError as exc:
            raise self._who_is(name, exc) from exc
        return str(answer["Id"])

    def check_again(self, container: Container) -> None:
        """What a start binds, looked at again: the engine follows it wherever it leads then."""
        config = self._config
        workspace = self._workspaces.path(container.sandbox_uid) if container.sandbox_uid else ""
        skills = [source for source in container.binds if self._is_of_skills(source)]
        for source in skills:
            require_skill_files(source)
        sources = [source for source in container.binds if source != workspace and source not in skills]
        check_again(sources, config.bind_prefixes, self._client.socket, config.forbidden)

    def give_workspace(self, container: Container) -> None:
        """Have the workspace be its user's: a version with another one may have had it since, and failed."""
        if container.sandbox_uid and _NUMERIC_USER.fullmatch(container.user):
            self._workspace(container.sandbox_uid, container.user)

    def _binds(self, spec: SandboxSpec) -> tuple[dict[str, Any], ...]:
        config = self._config
        mounts = checked_binds(spec.filesystem.mounts, config.bind_prefixes, self._client.socket, config.forbidden)
        return (*mounts, *self._skill(spec))

    def _skill(self, spec: SandboxSpec) -> tuple[dict[str, Any], ...]:
        if spec.skill is None:
            return ()
        mount = spec.skill.mount
        require_skill_files(mount.source)
        return (bind(mount.source, mount.target, read_only=mount.read_only),)

    def _is_of_skills(self, source: str) -> bool:
        folder = self._config.skills_folder
        return bool(folder) and source.startswith(f"{folder}/")

    def _workspace(self, uid: str, user: str) -> str:
        owner_uid, _, owner_gid = user.partition(":")
        try:
            return self._workspaces.ensure(uid, int(owner_uid), int(owner_gid or owner_uid))
        except StateError as exc:
            raise RuntimeFailure(str(exc)) from exc

    def _who_is(self, name: str, conflict: ConflictError) -> RuntimeFailure:
        """Whose the container is that has the name already."""
        try:
            labels = self._client.get(f"/containers/{quoted(name)}/json")["Config"].get("Labels") or {}
        except InstanceNotFoundError:
            return conflict
        if labels.get(LABEL_INSTANCE) == self._config.instance:
            return conflict
        return NotOwnedError(
            f"a container named {name} is there that is not ours, and is left alone: "
            f"remove or rename it (docker rename {name} …)"
        )


def environment_of(spec: SandboxSpec, secrets: Secrets) -> tuple[str, ...]:
    """NAME=value for each variable, secrets filled in, and where the skill is. Raises SecretUnavailableError."""
    own = tuple(
        f"{entry.name}={entry.value or '' if entry.secret is None else secrets.read(entry.secret)}"
        for entry in spec.env
    )
    return own if spec.skill is None else (*own, f"{SKILL_VARIABLE}={spec.skill.mount.target}")
