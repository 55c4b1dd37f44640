"""Images with packages from the command line, on a real engine; and which of them are idle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from docker import DockerClient

from controller.cli.main import cli
from controller.runtime.docker.image_store import PackageImage, idle
from controller.runtime.docker.labels import LABEL_IMAGE_OF
from tests.support.wheels import only_from, wheel

DAY = 86400.0
MIB = 1 << 20


def image(name: str, days: float, added: int = MIB, in_use: bool = False) -> PackageImage:
    return PackageImage(name, name, "me", "python", ("x==1",), added, -days * DAY, in_use)


@pytest.mark.parametrize(
    ("unused_for", "most", "removed"),
    [
        (None, None, []),
        (30 * DAY, None, ["old", "older"]),
        (0.0, None, ["new", "old", "older"]),
        (None, 3 * MIB, ["older"]),
        (None, 0, ["new", "old", "older"]),
        (50 * DAY, 2 * MIB, ["old", "older"]),
    ],
)
def test_what_is_idle_is_unused_for_long_or_beyond_the_size_and_never_in_use(
    unused_for: float | None, most: int | None, removed: list[str]
) -> None:
    images = [image("older", 60), image("used", 50, in_use=True), image("old", 40), image("new", 1)]
    assert sorted(each.name for each in idle(images, 0.0, unused_for, most)) == removed


class Shell:
    """The command line on a folder of manifests and a state folder of its own."""

    def __init__(self, folder: Path, docker_host: str, wheels: Path) -> None:
        self.manifests, self.state_dir = folder / "manifests", folder / "state"
        self.manifests.mkdir()
        self._environment = {"SANDKEEPER_STATE_DIR": str(self.state_dir), "SANDKEEPER_ENGINE": docker_host}
        self._environment |= only_from(wheels)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, ["image", *arguments], env=self._environment, prog_name="sandkeeper")

    def declare(self, name: str, **spec: object) -> Path:
        path = self.manifests / f"{name}.yaml"
        head = {"apiVersion": "sandkeeper.dev/v1alpha1", "kind": "Sandbox", "metadata": {"name": name}}
        path.write_text(json.dumps({**head, "spec": spec}, indent=1))
        return path

    def listed(self) -> list[dict[str, object]]:
        items: list[dict[str, object]] = json.loads(self.run("list", "-o", "json").stdout)["items"]
        return items


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "greeting", "1.0")
    return folder


@pytest.fixture
def shell(
    tmp_path: Path, docker_host: str, python_image: str, docker_client: DockerClient, wheels: Path
) -> Iterator[Shell]:
    made = Shell(tmp_path, docker_host, wheels)
    yield made
    instance = made.state_dir / "instance"
    if instance.exists():
        label = f"{LABEL_IMAGE_OF}={instance.read_text().strip()}"
        for each in docker_client.images.list(filters={"label": label}):
            docker_client.images.remove(str(each.id), force=True)


@pytest.mark.docker
def test_build_has_what_manifests_need_once_for_all_who_need_the_same(shell: Shell, python_image: str) -> None:
    for name in ("one", "two"):
        shell.declare(name, image=python_image, packages={"python": ["greeting"]})
    shell.declare("folder", isolation="directory", packages={"python": ["greeting"]})
    shell.declare("plain", image=python_image)
    ended = shell.run("build", str(shell.manifests))
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert len(lines) == 2
    assert any(line.startswith("default/one, default/two: sandkeeper-packages:") for line in lines)
    assert "default/folder: packages are at hand: greeting" in lines
    (listed,) = shell.listed()
    assert (listed["base"], listed["packages"], listed["inUse"]) == (python_image, ["greeting==1.0"], False)


@pytest.mark.docker
def test_build_of_one_manifest_and_an_upgrade(shell: Shell, python_image: str, wheels: Path) -> None:
    manifest = shell.declare("one", image=python_image, packages={"python": ["greeting"]})
    (first,) = json.loads(shell.run("build", "-f", str(manifest), "-o", "json").stdout)["items"]
    wheel(wheels, "greeting", "2.0")
    (again,) = json.loads(shell.run("build", "-f", str(manifest), "-o", "json").stdout)["items"]
    assert again["image"] == first["image"]
    (upgraded,) = json.loads(shell.run("build", str(manifest), "--upgrade", "-o", "json").stdout)["items"]
    assert upgraded["image"] != first["image"]
    assert [each["packages"] for each in shell.listed()] == [["greeting==1.0"], ["greeting==2.0"]]


@pytest.mark.docker
def test_build_says_what_it_could_not_have_and_goes_on(shell: Shell, python_image: str) -> None:
    shell.declare("bad", image=python_image, packages={"python": ["no-such-package"]})
    shell.declare("good", image=python_image, packages={"python": ["greeting"]})
    ended = shell.run("build", str(shell.manifests))
    assert ended.exit_code == 1
    assert ended.stdout.startswith("default/good: sandkeeper-packages:")
    assert "error: default/bad: for python:3.11-slim" in ended.stderr
    assert "no-such-package" in ended.stderr


@pytest.mark.docker
def test_prune_takes_what_no_container_uses_and_nothing_that_others_made(
    shell: Shell, python_image: str, docker_client: DockerClient
) -> None:
    for name, package in (("one", "greeting"), ("two", "greeting>=1")):
        shell.declare(name, image=python_image, packages={"python": [package]})
    shell.run("build", str(shell.manifests))
    (made,) = shell.listed()  # the same lock: the same image
    container = docker_client.containers.create(str(made["name"]), ["true"])
    try:
        assert shell.run("prune").stdout == "nothing to remove\n"
        assert shell.listed()[0]["inUse"] is True
    finally:
        container.remove()
    derived = docker_client.containers.create(str(made["name"]), ["true"])
    derived.commit("derived", "1")  # with all the labels of ours
    derived.remove()
    before = {tag for each in docker_client.images.list() for tag in each.tags}
    try:
        assert "derived:1" not in [each["name"] for each in shell.listed()]
        assert "would be removed" in shell.run("prune", "--dry-run").stdout
        assert len(shell.listed()) == 1
        assert shell.run("prune", "--older-than", "1h").stdout == "nothing to remove\n"
        assert shell.run("prune", "--max-size", "0").stdout.startswith(f"{made['name']}: removed (")
        assert shell.listed() == []
        docker_client.images.get("derived:1")
    finally:
        docker_client.images.remove("derived:1")
    assert {tag for each in docker_client.images.list() for tag in each.tags} == before - {made["name"], "derived:1"}


def test_without_an_engine_it_is_said(tmp_path: Path, wheels: Path) -> None:
    shell = Shell(tmp_path, f"unix://{tmp_path}/none.sock", wheels)
    ended = shell.run("list")
    assert ended.exit_code == 1
    assert "there is no engine" in ended.stderr
    assert not shell.state_dir.exists(), "looking makes nothing"


def test_packages_of_directories_are_had_without_an_engine(tmp_path: Path, wheels: Path) -> None:
    shell = Shell(tmp_path, f"unix://{tmp_path}/none.sock", wheels)
    shell.declare("folder", isolation="directory", packages={"python": ["greeting"]})
    assert shell.run("build", str(shell.manifests)).stdout == "default/folder: packages are at hand: greeting\n"


def test_a_faulty_manifest_is_told_before_anything_is_built(tmp_path: Path, wheels: Path) -> None:
    shell = Shell(tmp_path, f"unix://{tmp_path}/none.sock", wheels)
    shell.declare("bad", pakages={})
    ended = shell.run("build", str(shell.manifests))
    assert ended.exit_code == 64
    assert "bad.yaml" in ended.stderr
    assert "sandkeeper validate" in ended.stderr


@pytest.mark.parametrize("arguments", [("build",), ("prune", "--max-size", "many"), ("prune", "--older-than", "old")])
def test_what_cannot_be_meant_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(cli, ["image", *arguments], prog_name="sandkeeper").exit_code == 64
