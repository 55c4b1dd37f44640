"""Binds: only below the allowed prefixes, as they really are when the container is made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from controller.model.errors import CannotRunError, RuntimeFailure
from controller.model.spec import Mount
from controller.runtime.docker.binds import checked_binds
from tests.docker_runtime.bench import Bench

SOCKET = "/run/engine/docker.sock"


def sources(mounts: list[Mount], *prefixes: Path) -> list[str]:
    return [bind["Source"] for bind in checked_binds(mounts, [str(prefix) for prefix in prefixes], SOCKET)]


def test_a_source_is_bound_as_it_resolves(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    assert sources([Mount(f"{tmp_path}/link", "/data")], tmp_path) == [f"{tmp_path}/data"]


def test_without_prefixes_nothing_is_bound(tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match=r"none are set.*--allow-path"):
        sources([Mount(str(tmp_path), "/data")])


@pytest.mark.parametrize("source", ["{}/../etc", "/etc", "{}x", "{}/out"])
def test_what_lies_outside_of_the_prefixes_is_refused(tmp_path: Path, source: str) -> None:
    prefix = tmp_path / "allowed"
    prefix.mkdir()
    (tmp_path / "allowedx").mkdir()
    (prefix / "out").symlink_to("/etc")
    with pytest.raises(CannotRunError, match="outside of the allowed prefixes"):
        sources([Mount(source.format(prefix), "/data")], prefix)


@pytest.mark.parametrize("source", [SOCKET, "/run/engine", "/run", "/"])
def test_the_engines_socket_is_never_handed_over(source: str) -> None:
    with pytest.raises(CannotRunError, match="engine's socket"):
        sources([Mount(source, "/data")], Path("/"))


@pytest.mark.parametrize("source", ["{}/state", "{}/state/run", "{}", "{}/link/run"])
def test_the_daemons_own_folders_are_never_bound(tmp_path: Path, source: str) -> None:
    (tmp_path / "real/run").mkdir(parents=True)
    for name in ("state", "link"):
        (tmp_path / name).symlink_to("real")
    mount = Mount(source.format(tmp_path), "/data")
    with pytest.raises(CannotRunError, match="the daemon's own files"):
        checked_binds([mount], [str(tmp_path)], SOCKET, [f"{tmp_path}/state"])


def test_a_missing_source_is_no_reason_to_give_up(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="does not exist") as caught:
        sources([Mount(f"{tmp_path}/later", "/data")], tmp_path)
    assert not isinstance(caught.value, CannotRunError)


@pytest.mark.docker
@pytest.mark.parametrize("read_only", [True, False])
def test_a_bind_can_be_written_only_where_it_says_so(bench: Bench, read_only: bool) -> None:
    shared = bench.allowed / "shared"
    shared.mkdir()
    os.chown(shared, 10001, 10001)
    mounts: list[Any] = [{"source": str(shared), "target": "/data", "readOnly": read_only}]
    seen = bench.run(spec={"filesystem": {"mounts": mounts}})
    code, output = bench.sh(seen.id, "touch /data/file")
    assert (code != 0, "Read-only" in output, (shared / "file").exists()) == (read_only, read_only, not read_only)


@pytest.mark.docker
def test_a_symlink_swapped_in_after_admission_is_seen(bench: Bench) -> None:
    shared = bench.allowed / "shared"
    shared.mkdir()
    spec = {"filesystem": {"mounts": [{"source": str(shared), "target": "/data"}]}}
    bench.run("first", spec)
    shared.rmdir()
    shared.symlink_to("/etc")
    with pytest.raises(CannotRunError, match="leads to /etc"):
        bench.run("second", spec)


MOUNTED = {"target": "/data", "readOnly": False}


@pytest.mark.docker
def test_a_folder_that_another_sandbox_led_elsewhere_is_not_bound_at_the_next_start(bench: Bench) -> None:
    shared = bench.allowed / "shared"
    (shared / "below").mkdir(parents=True)
    os.chown(shared, 10001, 10001)
    victim = bench.run("victim", {"filesystem": {"mounts": [{**MOUNTED, "source": f"{shared}/below"}]}})
    hostile = bench.run("hostile", {"filesystem": {"mounts": [{**MOUNTED, "source": str(shared)}]}})
    bench.runtime.stop(victim.id, 1)
    assert bench.sh(hostile.id, "mv /data/below /data/aside && ln -s / /data/below")[0] == 0
    with pytest.raises(RuntimeFailure, match="below leads to / by now") as caught:
        bench.runtime.start(victim.id)
    assert not isinstance(caught.value, CannotRunError)
    assert bench.sh(hostile.id, "rm /data/below && mv /data/aside /data/below")[0] == 0
    bench.runtime.start(victim.id)
    assert bench.sh(victim.id, "ls /data") == (0, "")


@pytest.mark.docker
def test_what_may_not_be_mounted_any_more_is_not_bound_at_the_next_start(bench: Bench) -> None:
    shared = bench.allowed / "shared"
    shared.mkdir()
    seen = bench.run(spec={"filesystem": {"mounts": [{**MOUNTED, "source": str(shared)}]}})
    bench.runtime.stop(seen.id, 1)
    with pytest.raises(CannotRunError, match="outside of the allowed prefixes"):
        bench.another(bind_prefixes=()).start(seen.id)
    with pytest.raises(CannotRunError, match="the daemon's own files"):
        bench.another(forbidden=(str(shared),)).start(seen.id)


@pytest.mark.docker
def test_one_whose_state_folder_is_forbidden_is_started_again_with_its_workspace(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.stop(seen.id, 1)
    bench.another(forbidden=(str(bench.state),)).start(seen.id)
    assert bench.sh(seen.id, "touch file")[0] == 0
