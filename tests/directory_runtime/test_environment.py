"""Python environments: made only where something needs one, from wheels, each sandbox its own."""

from __future__ import annotations

import os
import queue
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from controller.model.errors import DiskFullError, EnvironmentFailedError, PreparingError
from controller.model.identity import Key, sandbox_key
from controller.runtime.directory import interpreter
from controller.runtime.directory.environment import requirements_of
from controller.runtime.packages.install import install
from tests.directory_runtime.house import House, desired, new_state_dir, small_disk, until
from tests.support.preparing import prepared
from tests.support.wheels import wheel


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one package, `greeting`, as the only index there is."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "greeting", "1.0")
    settings = tmp_path / "uv.toml"
    settings.write_text(f'no-index = true\nfind-links = ["{folder}"]\n')
    monkeypatch.setenv("UV_CONFIG_FILE", str(settings))
    return folder


@pytest.mark.parametrize(
    ("command", "packages", "requirements"),
    [
        (("sleep", "1"), [], None),
        ((), [], None),
        (("/usr/bin/python3", "x.py"), [], None),
        (("sh", "-c", "python3 x.py"), [], None),
        (("python", "x.py"), [], ()),
        (("python3.11",), [], ()),
        (("pip", "list"), [], ("pip",)),
        (("sleep", "1"), ["requests==2.*"], ("requests==2.*",)),
    ],
)
def test_it_is_made_only_where_something_needs_it(
    command: tuple[str, ...], packages: list[str], requirements: tuple[str, ...] | None
) -> None:
    assert requirements_of(desired(*command, packages={"python": packages}).spec) == requirements


def test_a_skill_that_asks_for_a_python_gets_one_of_that_version_or_is_told_what_there_is() -> None:
    found = interpreter.find_interpreter(None, None, f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert os.path.realpath(found.path) == os.path.realpath(sys.executable)
    with pytest.raises(EnvironmentFailedError, match=r"the skill needs Python >=4, and .* is 3\."):
        interpreter.find_interpreter(None, None, ">=4")
    with pytest.raises(EnvironmentFailedError, match="there is none"):
        interpreter.find_interpreter("/no/such/python", None, "3.11")


def test_a_command_that_uses_python_gets_one_of_its_own(house: House) -> None:
    id = house.make("python3", "-c", "import sys; print(sys.prefix); print(sys.executable)")
    house.end_of(id)
    venv = house.folder(id) / "venv"
    assert house.log(id).splitlines() == [str(venv), str(venv / "bin" / "python3")]


def test_packages_are_installed_and_their_commands_found(any_house: House, wheels: Path) -> None:
    id = any_house.make("greeting", packages={"python": ["greeting==1.*"]})
    any_house.end_of(id)
    assert any_house.log(id) == "greeting 1.0\n"


@pytest.mark.root
def test_a_sandbox_cannot_change_its_packages(house: House, wheels: Path) -> None:
    id = house.make(packages={"python": ["greeting"]})
    code, text = house.run(id, "python", "-c", "import greeting; open(greeting.__file__, 'w')")
    assert code == 1
    assert "PermissionError" in text
    assert (house.folder(id) / "venv").stat().st_uid == 0


@pytest.mark.root
def test_sandboxes_with_users_of_their_own_share_the_files_of_their_packages(house: House, wheels: Path) -> None:
    ids = [house.make(name=name, packages={"python": ["greeting"]}) for name in ("one", "other")]
    modules = [next((house.folder(id) / "venv").glob("lib/*/site-packages/greeting.py")) for id in ids]
    assert modules[0].samefile(modules[1])
    assert modules[0].stat().st_uid == 0
    assert modules[0].stat().st_mode & 0o777 == 0o644
    scripts = [house.folder(id) / "venv" / "bin" / "greeting" for id in ids]
    assert [house.run(id, "greeting") for id in ids] == [(0, "greeting 1.0\n")] * 2
    assert not scripts[0].samefile(scripts[1])


def test_where_the_sandboxes_user_is_ours_each_has_copies(
    house: House, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, venv = made_for(house), house.state_dir / "venv"
    (venv / "lib" / "python3" / "site-packages").mkdir(parents=True)
    (venv / "bin").mkdir()
    install(tree, venv, may_link=False)
    module = venv / "lib" / "python3" / "site-packages" / "greeting.py"
    assert module.read_text() == (tree / "lib" / "greeting.py").read_text()
    assert not module.samefile(tree / "lib" / "greeting.py")


def made_for(house: House) -> Path:
    """The tree of packages that a first sandbox has left in the cache."""
    prepared(house.runtime, desired(packages={"python": ["greeting"]}))
    (tree,) = (house.state_dir / "cache" / "packages" / "trees").iterdir()
    return tree / "content"


def test_packages_that_were_had_once_are_installed_without_the_index(house: House, wheels: Path) -> None:
    made_for(house)
    (wheels / "greeting-1.0-py3-none-any.whl").unlink()
    id = house.make("greeting", packages={"python": ["greeting"]}, name="other")
    house.end_of(id)
    assert house.log(id) == "greeting 1.0\n"


@pytest.mark.root
def test_an_environment_is_readable_whatever_the_daemons_umask(house: House, wheels: Path) -> None:
    before = os.umask(0o077)
    try:
        id = house.make("greeting", packages={"python": ["greeting"]})
    finally:
        os.umask(before)
    house.end_of(id)
    assert house.log(id) == "greeting 1.0\n"


@pytest.mark.root
def test_a_full_disk_is_said_as_such(wheels: Path) -> None:
    big = {"big.py": f"DATA = '{os.urandom(1 << 20).hex()}'\n"}
    wheel(wheels, "large", "1.0", files=big)
    with small_disk() as state_dir:
        house = House(state_dir)
        with pytest.raises(DiskFullError, match="free space"):
            prepared(house.runtime, desired(packages={"python": ["large"]}))
        house.empty()


def test_a_package_that_is_not_there_is_said_in_uvs_words(house: House, wheels: Path) -> None:
    with pytest.raises(EnvironmentFailedError, match=r"no-such-package(.|\n)*correct spec.packages"):
        prepared(house.runtime, desired(packages={"python": ["no-such-package"]}))
    assert list((house.state_dir / "directories").iterdir()) == []


def test_nothing_is_built_from_source_since_that_would_run_it_as_us(house: House, wheels: Path) -> None:
    source = wheels / "evil"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(wheels / 'ran')!r}, 'w')")
    with pytest.raises(EnvironmentFailedError):
        prepared(house.runtime, desired(packages={"python": [f"evil @ {source.as_uri()}"]}))
    assert not (wheels / "ran").exists()


def test_preparing_again_takes_the_place_of_what_was_prepared(house: House, wheels: Path) -> None:
    for _ in range(2):
        prepared(house.runtime, desired(packages={"python": ["greeting"]}))
    prepared(house.runtime, desired("true", packages={"python": ["greeting"]}))
    assert len(list((house.state_dir / "directories").iterdir())) == 1


@pytest.fixture
def mute_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package index that takes requests and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("UV_INDEX_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/simple")
        yield


def asked(house: House, *command: str, **spec: Any) -> None:
    """A first call, which leaves the installation under way."""
    with pytest.raises(PreparingError):
        house.runtime.prepare(desired(*command, **spec))


def resolvers(house: House) -> list[psutil.Process]:
    """The uv processes that wait for the index on its behalf."""
    return [
        process
        for process in psutil.process_iter(["name", "cwd", "cmdline"])
        if process.info["name"] == "uv"
        and "compile" in (process.info["cmdline"] or ())
        and Path(process.info["cwd"] or "").is_relative_to(house.state_dir)
    ]


def installing(house: House) -> list[str]:
    """Whose installations are under way, by the folders that uv works in."""
    return [Path(process.info["cwd"]).name for process in resolvers(house)]


def test_an_installation_that_hangs_holds_up_no_caller_and_its_end_wakes_the_key(
    house: House, mute_index: None
) -> None:
    woken: queue.Queue[Key | None] = queue.Queue()
    house.runtime.watch(woken.put)
    asked(house, packages={"python": ["greeting"]})
    until(lambda: installing(house))
    house.make("sleep", "600", name="other")
    for process in resolvers(house):
        process.kill()
    key = sandbox_key("default", "web")
    while woken.get(timeout=10) != key:
        pass
    with pytest.raises(EnvironmentFailedError):
        house.runtime.prepare(desired(packages={"python": ["greeting"]}))


def test_an_edit_ends_the_installation_of_what_it_replaced(house: House, mute_index: None) -> None:
    asked(house, packages={"python": ["greeting"]})
    until(lambda: installing(house))
    (former,) = installing(house)
    asked(house, packages={"python": ["greeting==2"]})
    until(lambda: installing(house) not in ([former], []))
    assert len(installing(house)) == 1
    until(lambda: [folder.name for folder in (house.state_dir / "directories").iterdir()] == installing(house))


def test_a_sandbox_that_is_wanted_no_more_installs_nothing(house: House, mute_index: None) -> None:
    asked(house, packages={"python": ["greeting"]})
    until(lambda: installing(house))
    house.runtime.collect_garbage(lambda _: True)
    assert installing(house)
    house.runtime.collect_garbage(lambda _: False)
    until(lambda: not installing(house) and not list((house.state_dir / "directories").iterdir()))


def test_closing_ends_an_installation(house: House, mute_index: None) -> None:
    asked(house, packages={"python": ["greeting"]})
    until(lambda: installing(house))
    house.reopen()
    assert installing(house) == []


@pytest.mark.root
def test_where_no_python_can_be_reached_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = new_state_dir()
    closed.chmod(0o700)
    (closed / "python3").symlink_to("/usr/bin/python3")
    monkeypatch.setattr(interpreter, "may_mount", lambda: False)
    with pytest.raises(EnvironmentFailedError, match="install python3 for everybody"):
        interpreter.find_interpreter(str(closed / "python3"), 200_000)
    (closed / "python3").unlink()
    closed.rmdir()


@pytest.mark.root
def test_a_python_that_only_root_reaches_is_shown_to_the_sandbox() -> None:
    own = os.path.realpath(interpreter.find_interpreter(None, None).path)
    if not own.startswith("/root/"):
        pytest.skip("the controller's own Python is open to everybody")
    house = House(new_state_dir(), python=own)
    try:
        id = house.make("python", "-c", "import json, time; print(3, flush=True); time.sleep(100)")
        until(lambda: house.log(id) == "3\n")
        code, text = house.run(id, "sh", "-c", "ls -a /root; echo x > /root/x")
        assert code != 0
        assert ".bashrc" not in text
    finally:
        house.close()
