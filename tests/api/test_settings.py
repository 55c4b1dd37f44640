"""How a builder is set up from the environment, and what importing the package costs those who do not build."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import controller
from controller import ContainerConfig, ResourceLimits, SandboxBuilder

VARIABLES = ("USE_CONTAINER", "CONTAINER_MEMORY", "CONTAINER_CPUS", "CONTAINER_PIDS", "CONTAINER_IMAGE")
NOWHERE = "unix:///nonexistent/docker.sock"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No such variable is set, and no engine is there."""
    for name in (*VARIABLES, "CONTAINER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)


def test_from_an_empty_environment_directories_are_built(base: Path) -> None:
    with SandboxBuilder.from_env(base) as builder:
        assert builder.isolation_mode == "directory"
        assert builder.container_config.resource_limits == ResourceLimits(memory="512m", cpus="1.0")


@pytest.mark.parametrize("said", ["true", "1", "Yes", "on"])
def test_containers_are_built_where_the_environment_says_so(
    said: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_CONTAINER", said)
    with pytest.raises(RuntimeError, match="needs Docker"):
        SandboxBuilder.from_env(base)
    with pytest.warns(RuntimeWarning), SandboxBuilder.from_env(base, fallback="directory") as builder:
        assert builder.isolation_mode == "container"


def test_a_mode_that_is_left_out_is_the_environments_else_container(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="needs Docker"):
        SandboxBuilder(base)
    monkeypatch.setenv("USE_CONTAINER", "false")
    with SandboxBuilder(base) as builder:
        assert builder.isolation_mode == "directory"


def test_a_mode_that_cannot_be_read_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USE_CONTAINER", "maybe")
    with pytest.raises(ValueError, match="USE_CONTAINER='maybe' is neither true nor false"):
        SandboxBuilder.from_env(base)


def test_limits_and_image_are_the_environments(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("off", "256m", "0.5", "64", "busybox"), strict=True):
        monkeypatch.setenv(name, value)
    with SandboxBuilder.from_env(base) as builder:
        assert builder.container_config == ContainerConfig("busybox", ResourceLimits("256m", "0.5", 64))


def test_the_names_are_had_from_the_package_and_from_their_modules() -> None:
    from controller.sandbox.container_config import ContainerConfig as Config  # noqa: PLC0415 - what is tested
    from controller.sandbox.resource_manager import ResourceManager  # noqa: PLC0415 - as above
    from controller.sandbox_builder import SandboxBuilder as Builder  # noqa: PLC0415 - as above

    assert (controller.ContainerConfig, controller.SandboxBuilder) == (Config, Builder)
    assert controller.ResourceManager is ResourceManager
    with pytest.raises(AttributeError):
        _ = controller.Nonsense


@pytest.mark.parametrize("module", ["controller", "controller.cli.main", "controller.runtime.directory.supervisor"])
def test_who_builds_nothing_loads_nothing_of_it(module: str) -> None:
    script = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    ours = ("controller.sandbox", "controller.embedded", "controller.tools", "controller.skill", "docker.")
    assert [name for name in loaded if name.startswith(ours)] == []


def test_a_builder_of_directories_loads_no_client_of_an_engine(base: Path) -> None:
    script = (
        "import sys; from controller import SandboxBuilder; SandboxBuilder(sys.argv[1], 'directory'); "
        "print('docker' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(base)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
