"""What a schema cannot say: checks over several fields of one document, each fault with the path of its field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from controller.model.errors import QuantityError
from controller.model.identity import Key
from controller.model.manifest import FieldFault, FieldPath
from controller.model.quantity import format_duration, format_memory
from controller.model.skill import SkillFacts
from controller.model.spec import Isolation, NetworkMode, SandboxSpec
from controller.resolve.defaults import ResolveSettings, overlay
from controller.resolve.parse import parse_spec
from controller.resolve.places import WORKSPACE, misplaced
from controller.resolve.skill import skill_faults, with_skill

# Docker's own floor: below it a create is refused ("Minimum memory limit allowed is 6MB").
_LEAST_CONTAINER_MEMORY: Final = 6 << 20
_LIMITS: Final[FieldPath] = ("spec", "resources", "limits")
_CONTAINER_ONLY: Final[tuple[FieldPath, ...]] = (
    ("image",),
    ("imagePullPolicy",),
    ("runtimeClass",),
    ("user",),
    ("capabilities",),
    ("filesystem", "readOnlyRoot"),
    ("filesystem", "tmpfs"),
)
_DAY: Final = 86400.0
_LONGEST_GRACE: Final = _DAY  # its stop occupies a worker for so long
_LONGEST: Final = 3650 * _DAY
_LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC).timestamp()  # still a date in every time zone


def admit(body: dict[str, Any], settings: ResolveSettings, skill: SkillFacts | None = None) -> Sequence[FieldFault]:
    """Every fault of a document that is valid by schema; without any but warnings it is admitted.

    `skill` is what is known of the one that the document names.
    """
    metadata = body["metadata"]
    namespace = metadata.get("namespace", "default")
    written = body.get("spec") or {}
    try:
        parsed = parse_spec(overlay(settings.base(), written), namespace)
        spec = with_skill(parsed, written, skill, settings.skills_folder) if skill is not None else parsed
    except QuantityError as exc:
        return [FieldFault(("spec",), str(exc))]
    key = Key(body["kind"], namespace, metadata["name"])
    checks = (
        _isolation(spec),
        _container_only(spec, written),
        _sizes(spec),
        _times(spec),
        _user(spec, settings),
        _memory(spec),
        misplaced(spec),
        _network(spec),
        _env(spec),
        _depends(spec, key),
        skill_faults(spec, written),
    )
    return [fault for check in checks for fault in check]


def _isolation(spec: SandboxSpec) -> Iterator[FieldFault]:
    isolations = {spec.isolation, spec.fallback or spec.isolation}
    if Isolation.DIRECTORY not in isolations:
        return
    if spec.filesystem.mounts:
        yield FieldFault(
            ("spec", "filesystem", "mounts"), "a directory sandbox has no mounts", "use isolation: container"
        )
    if spec.network.mode is NetworkMode.BRIDGE:
        yield FieldFault(("spec", "network", "mode"), "a directory sandbox has no network of its own", "use mode: none")
    if spec.working_dir != WORKSPACE and not spec.working_dir.startswith(f"{WORKSPACE}/"):
        yield FieldFault(
            ("spec", "workingDir"),
            f"{spec.working_dir} lies outside the workspace",
            "a directory sandbox works in /workspace",
        )


def _container_only(spec: SandboxSpec, written: Mapping[str, Any]) -> Iterator[FieldFault]:
    """What a manifest says of containers alone would be ignored for a directory: it is refused instead."""
    if spec.isolation is not Isolation.DIRECTORY:
        return
    for path in _CONTAINER_ONLY:
        holder: Mapping[Any, Any] = written if len(path) == 1 else written.get(str(path[0])) or {}
        if holder.get(path[-1]) is not None:
            yield FieldFault(
                ("spec", *path), "has no meaning for a directory sandbox", "leave it out, or use isolation: container"
            )


def meaningful(written: Mapping[str, Any], isolation: Isolation) -> dict[str, Any]:
    """A spec with its defaults, without those that could not be written: it can be declared as it is."""
    if isolation is not Isolation.DIRECTORY:
        return dict(written)
    kept = {name: value for name, value in written.items() if (name,) not in _CONTAINER_ONLY}
    filesystem = {
        name: value for name, value in written["filesystem"].items() if ("filesystem", name) not in _CONTAINER_ONLY
    }
    return {**kept, "filesystem": filesystem}


def _sizes(spec: SandboxSpec) -> Iterator[FieldFault]:
    for name, size in (("memory", spec.limits.memory), ("disk", spec.limits.disk)):
        if size == 0:
            yield FieldFault((*_LIMITS, name), "a sandbox cannot do with none", "write 64Mi or more")


def _times(spec: SandboxSpec) -> Iterator[FieldFault]:
    """What clocks, waits and calendars of the machine can do."""
    lifecycle = spec.lifecycle
    spans: tuple[tuple[FieldPath, float | None, float], ...] = (
        (("stopGracePeriod",), lifecycle.stop_grace_period, _LONGEST_GRACE),
        (("startupDeadline",), lifecycle.startup_deadline, _LONGEST),
        (("ttl",), lifecycle.ttl, _LONGEST),
        (("enforcement", "cpu", "for"), spec.enforcement.cpu.for_seconds, _LONGEST),
    )
    for path, seconds, most in spans:
        if seconds is not None and seconds > most:
            yield FieldFault(("spec", *path), "is longer than can be kept to", f"write at most {format_duration(most)}")
    if lifecycle.shutdown_time is not None and not 0 <= lifecycle.shutdown_time <= _LATEST:
        yield FieldFault(("spec", "shutdownTime"), "lies outside of the years 1970 to 9999", "write a nearer time")


def _user(spec: SandboxSpec, settings: ResolveSettings) -> Iterator[FieldFault]:
    if int(spec.user.partition(":")[0]) == 0:
        yield FieldFault(
            ("spec", "user"),
            "root is not given to a sandbox: its files would be the host's root's",
            'write "10001:10001"',
        )
        return
    if settings.own_user is None or spec.user == settings.own_user:
        return
    yield FieldFault(
        ("spec", "user"),
        f"{spec.user} cannot be given: the controller is not root and runs as {settings.own_user}",
        f"leave it out, or write {settings.own_user!r}",
    )


def _memory(spec: SandboxSpec) -> Iterator[FieldFault]:
    memory = spec.limits.memory
    if not memory:
        return
    if memory < _LEAST_CONTAINER_MEMORY and spec.isolation is Isolation.CONTAINER:
        yield FieldFault(
            (*_LIMITS, "memory"), f"{format_memory(memory)} is below the engine's least", "write 6Mi or more"
        )
    in_memory = sum(spec.filesystem.tmpfs.values())
    if in_memory >= memory:
        yield FieldFault(
            ("spec", "filesystem", "tmpfs"),
            f"{format_memory(in_memory)} of tmpfs counts as memory, of which there are {format_memory(memory)}",
            "make the tmpfs smaller or resources.limits.memory larger",
        )


def _network(spec: SandboxSpec) -> Iterator[FieldFault]:
    ports = spec.network.ports
    if ports and spec.network.mode is NetworkMode.NONE:
        yield FieldFault(("spec", "network", "ports"), "ports need a network", "set network.mode: bridge")
    seen: set[int] = set()
    for index, port in enumerate(ports):
        if port.host_port in seen:
            yield FieldFault(("spec", "network", "ports", index, "hostPort"), f"{port.host_port} is published twice")
        seen.add(port.host_port)


def _env(spec: SandboxSpec) -> Iterator[FieldFault]:
    seen: set[str] = set()
    for index, entry in enumerate(spec.env):
        if entry.name in seen:
            yield FieldFault(("spec", "env", index, "name"), f"{entry.name} is set twice")
        seen.add(entry.name)


def _depends(spec: SandboxSpec, key: Key) -> Iterator[FieldFault]:
    for index, dependency in enumerate(spec.lifecycle.depends_on):
        if dependency == key:
            yield FieldFault(("spec", "dependsOn", index), "a sandbox cannot depend on itself")
