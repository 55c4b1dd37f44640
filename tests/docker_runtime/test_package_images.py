"""Packages of container sandboxes: one layer on the manifest's own image, made offline, once for all who want it."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from controller.model.cleanup import CleanupPolicy
from controller.model.clock import SystemClock
from controller.model.errors import (
    ConflictError,
    EnvironmentFailedError,
    NotOwnedError,
    PreparingError,
)
from controller.runtime.docker.labels import LABEL_HELPER_OF, LABEL_IMAGE_BASE, LABEL_IMAGE_OF
from tests.docker_runtime.bench import Bench, desired, until
from tests.docker_runtime.conftest import MakeBench
from tests.support.preparing import prepared
from tests.support.wheels import only_from, wheel

pytestmark = pytest.mark.docker
GREETING: Mapping[str, Any] = {"packages": {"python": ["greeting"]}}


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of `greeting`, and nothing else that uv could get at."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        wheel(folder, "greeting", version)
    for name, value in only_from(folder).items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def pythons(
    make_bench: MakeBench, docker_host: str, python_image: str, wheels: Path, raw: DockerClient
) -> Iterator[Bench]:
    """A runtime whose engine has a Python image; its own images go with it."""
    bench = make_bench(docker_host)
    yield bench
    bench.close()
    for image in raw.images.list(filters={"label": f"{LABEL_IMAGE_OF}={bench.instance}"}):
        raw.images.remove(str(image.id), force=True)


class TwoHoursLater(SystemClock):
    def now(self) -> float:
        return super().now() + 7200


def spec(python_image: str, **more: Any) -> dict[str, Any]:
    return {"image": python_image, **GREETING, **more}


def ours(raw: DockerClient, bench: Bench) -> list[Any]:
    """The images that it has made."""
    return list(raw.images.list(filters={"label": f"{LABEL_IMAGE_OF}={bench.instance}"}))


def helpers(raw: DockerClient) -> list[Any]:
    return list(raw.containers.list(all=True, filters={"name": "sandkeeper-helper-"}))


def test_packages_are_imported_and_their_commands_run_as_any_user_on_a_read_only_root(
    pythons: Bench, python_image: str
) -> None:
    seen = pythons.run(spec=spec(python_image))
    script = "id -u; greeting; python -c 'import greeting; print(greeting.VERSION)'; python3 -I -c 'import greeting'"
    assert pythons.sh(seen.id, script) == (0, "10001\ngreeting 2.0\n2.0\n")
    code, text = pythons.sh(seen.id, "head -1 $(command -v greeting); touch /opt/sandkeeper/packages/x")
    assert code == 1
    assert text.startswith("#!/usr/bin/python3")
    assert "Read-only file system" in text


def test_packages_come_before_those_of_the_image_and_after_the_standard_library(
    pythons: Bench, python_image: str, wheels: Path
) -> None:
    wheel(wheels, "json", "1.0")
    seen = pythons.run(spec=spec(python_image, packages={"python": ["greeting", "json"]}))
    code, text = pythons.sh(seen.id, "python -c 'import json, sys; print(json.dumps(sys.path))'")
    assert code == 0, text
    assert text.index("/opt/sandkeeper/packages") < text.index("dist-packages")


def test_nothing_in_the_layer_is_writable_for_others(pythons: Bench, python_image: str) -> None:
    seen = pythons.run(spec=spec(python_image, filesystem={"readOnlyRoot": False}))
    place = "/opt/sandkeeper /usr/local/lib/python3*/dist-packages /usr/local/bin"
    code, text = pythons.sh(seen.id, f"find {place} -perm /022 ! -type l; find {place} ! -uid 0")
    assert (code, text) == (0, "")


def test_sandboxes_that_want_the_same_share_one_build(pythons: Bench, python_image: str, raw: DockerClient) -> None:
    names = [f"web{number}" for number in range(4)]
    for name in names:
        with pytest.raises(PreparingError, match="an image with packages is built"):
            pythons.runtime.prepare(desired(name, spec(python_image)))
    for name in names:
        prepared(pythons.runtime, desired(name, spec(python_image)))
    assert len(ours(raw, pythons)) == 1
    until(lambda: not helpers(raw))


def test_an_image_that_is_there_is_taken_without_index_and_build(
    pythons: Bench, python_image: str, wheels: Path
) -> None:
    pythons.create(spec=spec(python_image))
    for path in wheels.iterdir():
        path.unlink()
    again = pythons.another()
    again.prepare(desired("other", spec(python_image)))  # at once: no PreparingError


def test_another_lock_or_another_base_under_the_same_tag_is_another_image(
    pythons: Bench, python_image: str, raw: DockerClient
) -> None:
    raw.images.get(python_image).tag("moving", "1")
    try:
        first = pythons.create(spec=spec("moving:1")).image_id
        assert pythons.create("older", spec("moving:1", packages={"python": ["greeting<2"]})).image_id != first
        container = raw.containers.create(python_image, ["true"])
        container.commit("moving", "1", changes="LABEL changed=yes")
        container.remove()
        second = pythons.create("same", spec("moving:1")).image_id
        assert second != first
        assert raw.images.get(second).labels[LABEL_IMAGE_BASE] == raw.images.get("moving:1").id
        assert raw.images.get(second).labels["changed"] == "yes"
    finally:
        raw.images.remove("moving:1", force=True)


def test_the_images_own_settings_stay(pythons: Bench, python_image: str, raw: DockerClient) -> None:
    base, made = raw.images.get(python_image), raw.images.get(pythons.create(spec=spec(python_image)).image_id)
    for name in ("Cmd", "Entrypoint", "Env", "WorkingDir", "User", "Volumes", "OnBuild"):
        assert made.attrs["Config"].get(name) == base.attrs["Config"].get(name), name
    assert len(made.attrs["RootFS"]["Layers"]) == len(base.attrs["RootFS"]["Layers"]) + 1


def test_an_image_is_built_without_running_what_it_triggers(
    pythons: Bench, python_image: str, raw: DockerClient
) -> None:
    container = raw.containers.create(python_image, ["true"])
    container.commit("trigger", "1", changes="ONBUILD RUN touch /triggered")
    container.remove()
    try:
        seen = pythons.run(spec=spec("trigger:1"))
        assert pythons.sh(seen.id, "ls /triggered")[0] != 0
    finally:
        pythons.runtime.remove(seen.id)
        raw.images.remove("trigger:1", force=True)


def test_an_image_without_python_says_so(pythons: Bench, busybox_image: str, raw: DockerClient) -> None:
    with pytest.raises(EnvironmentFailedError, match="busybox:latest has no python3 on its PATH"):
        prepared(pythons.runtime, desired(spec=spec(busybox_image)))
    until(lambda: not helpers(raw))


def test_a_package_without_a_wheel_for_the_images_python_says_for_which(
    pythons: Bench, python_image: str, wheels: Path
) -> None:
    wheel(wheels, "native", "1.0", tag="cp38-cp38-musllinux_1_1_x86_64")
    with pytest.raises(EnvironmentFailedError, match=r"for python:3.11-slim \(Python 3\.\d+\.\d+, x86_64-manylinux.*"):
        prepared(pythons.runtime, desired(spec=spec(python_image, packages={"python": ["native"]})))


def test_an_index_that_cannot_be_reached_is_said_and_tried_again(
    pythons: Bench, python_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("UV_OFFLINE", "1")
    for _ in range(2):
        with pytest.raises(EnvironmentFailedError, match="see that the package index can be reached"):
            prepared(pythons.runtime, desired(spec=spec(python_image)))


def test_a_tampered_package_reaches_no_image(pythons: Bench, python_image: str, raw: DockerClient) -> None:
    prepared(pythons.runtime, desired(spec=spec(python_image)))
    (module,) = pythons.state.glob("cache/packages/trees/*/content/lib/greeting.py")
    module.write_text("VERSION = 'evil'\n\n\ndef main():\n    print(VERSION)\n")
    image_with(raw, python_image, "tampered:1", {"another-base": b""})
    try:
        seen = pythons.run(spec=spec("tampered:1"))
        assert pythons.sh(seen.id, "greeting") == (0, "greeting 2.0\n")
    finally:
        pythons.runtime.remove(seen.id)
        raw.images.remove("tampered:1", force=True)


def test_an_image_that_went_between_prepare_and_create_is_built_again(
    pythons: Bench, python_image: str, raw: DockerClient
) -> None:
    wanted = desired(spec=spec(python_image))
    prepared(pythons.runtime, wanted)
    for image in ours(raw, pythons):
        raw.images.remove(str(image.id), force=True)
    with pytest.raises(ConflictError, match="built again"):
        pythons.create_prepared(wanted)
    prepared(pythons.runtime, wanted)
    assert pythons.create_prepared(wanted)


def test_somebody_elses_image_under_our_name_is_not_taken(pythons: Bench, python_image: str, raw: DockerClient) -> None:
    prepared(pythons.runtime, desired(spec=spec(python_image)))
    (made,) = ours(raw, pythons)
    (tag,) = made.tags
    raw.images.remove(made.id, force=True)
    raw.images.get(python_image).tag(*tag.split(":"))
    try:
        with pytest.raises(NotOwnedError, match="not ours: remove it"):
            pythons.runtime.prepare(desired(spec=spec(python_image)))
    finally:
        raw.images.remove(tag)


def test_a_hung_python_of_an_image_is_waited_for_no_longer_than_said(
    pythons: Bench, busybox_image: str, raw: DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.runtime.docker.image_python._SECONDS", 1.0)
    image_with(raw, busybox_image, "hung:1", {"bin/python3": b"#!/bin/sh\nexec sleep 1000\n"})
    try:
        with pytest.raises(EnvironmentFailedError, match="the Python of hung:1 did not answer within 1 s"):
            prepared(pythons.runtime, desired(spec=spec("hung:1")))
    finally:
        raw.images.remove("hung:1", force=True)
    until(lambda: not helpers(raw))


def image_with(raw: DockerClient, base: str, name: str, files: Mapping[str, bytes]) -> None:
    """An image with more files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    container = raw.containers.create(base, ["true"])
    container.put_archive("/", archive.getvalue())
    container.commit(*name.split(":"))
    container.remove()


def test_what_a_killed_daemon_left_half_made_is_removed_and_the_sandboxes_stay(
    pythons: Bench, python_image: str, raw: DockerClient
) -> None:
    seen = pythons.run(spec=spec(python_image))
    raw.containers.create(
        python_image, ["true"], name="sandkeeper-helper-left", labels={LABEL_HELPER_OF: pythons.instance}
    )
    stranger = raw.containers.create(python_image, ["true"], name="sandkeeper-helper-stranger")
    try:
        pythons.runtime.collect_garbage(lambda _: True)
        assert len(helpers(raw)) == 2, "its maker may still be at it"
        pythons.clock = TwoHoursLater()
        pythons.another().collect_garbage(lambda _: True)
        assert [each.name for each in helpers(raw)] == ["sandkeeper-helper-stranger"]
        assert pythons.sh(seen.id, "greeting")[0] == 0
    finally:
        stranger.remove()
        for each in helpers(raw):
            each.remove()


UNUSED = CleanupPolicy(unused_for=3600.0)


@pytest.mark.parametrize("policy", [UNUSED, CleanupPolicy(images_max_size=0)])
def test_an_image_that_is_not_used_goes_where_it_is_asked_for_and_never_one_in_use(
    pythons: Bench, python_image: str, raw: DockerClient, policy: CleanupPolicy
) -> None:
    seen = pythons.create(spec=spec(python_image))
    pythons.another(cleanup=policy).collect_garbage(lambda _: True)
    pythons.clock = TwoHoursLater()
    pythons.another(cleanup=policy).collect_garbage(lambda _: True)
    assert len(ours(raw, pythons)) == 1, "a container uses it"
    pythons.runtime.remove(seen.id)
    pythons.another().collect_garbage(lambda _: False)
    assert len(ours(raw, pythons)) == 1, "nobody asked for it"
    before = len(raw.images.list())
    pythons.another(cleanup=policy).collect_garbage(lambda _: False)
    assert ours(raw, pythons) == []
    assert len(raw.images.list()) == before - 1, "nothing of anybody else's"


def test_an_image_counts_as_used_until_its_last_container_went(
    pythons: Bench, python_image: str, raw: DockerClient
) -> None:
    seen = pythons.create(spec=spec(python_image))
    (used,) = (pythons.state / "cache" / "packages" / "images").iterdir()
    os.utime(used, (0, 0))
    pythons.another(cleanup=UNUSED).collect_garbage(lambda _: True)
    pythons.runtime.remove(seen.id)
    pythons.another(cleanup=UNUSED).collect_garbage(lambda _: True)
    assert len(ours(raw, pythons)) == 1
