"""Workspaces and sandboxes for tools."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.runtime.tree import erase_tree
from controller.tools.files import WorkspaceFiles
from controller.tools.registry import ToolRegistry
from tests.directory_runtime.house import House, new_state_dir
from tests.docker_runtime.bench import Bench
from tests.tools.sandboxes import SANDBOX_UID, Bare, Real


@dataclass
class Scene:
    """A workspace, and beside it what code in it wants to reach: as root it belongs to a user of its own."""

    workspace: Path
    outside: Path
    files: WorkspaceFiles
    sandbox: Bare
    tools: ToolRegistry

    def put(self, path: str, data: bytes | str = "") -> Path:
        """A file of the sandbox's user."""
        target = self.workspace / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        self.own()
        return target

    def own(self) -> None:
        """Give all in the workspace to its user."""
        if os.geteuid() == 0:
            for path in (self.workspace, *self.workspace.rglob("*")):
                os.chown(path, SANDBOX_UID, SANDBOX_UID, follow_symlinks=False)


@pytest.fixture
def scene() -> Iterator[Scene]:
    """All that is outside is open to everybody, so that nothing but the tools' confinement protects it."""
    state = new_state_dir()
    workspace, outside = state / "workspaces" / "uid", state / "outside"
    workspace.mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("OUTSIDE")
    (outside / "secret").chmod(0o666)
    outside.chmod(0o777)
    made = Scene(workspace, outside, WorkspaceFiles(workspace), Bare(workspace), ToolRegistry.with_builtin())
    made.own()
    workspace.chmod(0o700)
    yield made
    erase_tree(str(state))


@pytest.fixture
def directory_sandbox() -> Iterator[Real]:
    """A running directory sandbox."""
    house = House(new_state_dir())
    try:
        id = house.make()
        yield Real("directory", house.workspace(id), house.runtime, id)
    finally:
        house.close()


@pytest.fixture
def container_sandbox(tmp_path: Path, docker_host: str, python_image: str, busybox_image: str) -> Iterator[Real]:
    """A running container of the Python image."""
    bench = Bench(tmp_path / "state", docker_host)
    try:
        seen = bench.run(spec={"image": python_image})
        yield Real("container", Path(bench.workspaces.path(seen.owner.uid)), bench.runtime, seen.id)
    finally:
        bench.close()


@pytest.fixture
def busybox_sandbox(tmp_path: Path, docker_host: str, busybox_image: str) -> Iterator[Real]:
    """A running container that has a shell and no interpreter of any other language."""
    bench = Bench(tmp_path / "state", docker_host)
    try:
        seen = bench.run()
        yield Real("container", Path(bench.workspaces.path(seen.owner.uid)), bench.runtime, seen.id)
    finally:
        bench.close()


@pytest.fixture(params=["directory_sandbox", pytest.param("container_sandbox", marks=pytest.mark.docker)])
def sandbox(request: pytest.FixtureRequest) -> Real:
    """A running sandbox of each mode."""
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Real)
    return made
