"""What a ContainerConfig takes, what it refuses with what can be had, and where it is read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docker.types import HostConfig

from controller.model.errors import SandkeeperError
from controller.sandbox.container_config import ContainerConfig, ResourceLimits

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512m", 512 * MIB),
        ("512M", 512 * MIB),
        ("512mb", 512 * MIB),
        ("1g", 1024 * MIB),
        ("2GB", 2048 * MIB),
        ("1.5g", 1536 * MIB),
        ("512Mi", 512 * MIB),
        ("8388608", 8 * MIB),
        ("8192K", 8 * MIB),
    ],
)
def test_memory_is_in_dockers_units_in_any_case(text: str, size: int) -> None:
    limits = ResourceLimits(memory=text)
    assert (limits.memory, limits.memory_bytes) == (text, size)


@pytest.mark.parametrize(("cpus", "millis"), [(1, 1000), (0.5, 500), ("1.5", 1500), (0.001, 1)])
def test_cpus_are_cores_as_a_number_or_as_text(cpus: float | str, millis: int) -> None:
    limits = ResourceLimits(cpus=cpus)
    assert (limits.cpus, limits.cpu_millis) == (cpus, millis)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"memory": ""}, "Memory limit cannot be empty"),
        ({"memory": 512}, "Memory limit must be a string"),
        ({"memory": "1.5"}, "Invalid memory format"),
        ({"memory": "much"}, "Invalid memory format"),
        ({"memory": "4m"}, "write 6m or more"),
        ({"memory": "-1g"}, "Invalid memory format"),
        ({"memory": "9000000t"}, "more than any machine has"),
        ({"cpus": 0}, "CPU limit must be positive"),
        ({"cpus": -1}, "CPU limit must be positive"),
        ({"cpus": "abc"}, "Invalid CPU format"),
        ({"cpus": ""}, "Invalid CPU format"),
        ({"cpus": float("nan")}, "Invalid CPU format"),
        ({"cpus": True}, "Invalid CPU format"),
        ({"cpus": 0.0001}, "finer than a thousandth"),
        ({"pids_limit": 0}, "pids_limit must be positive"),
        ({"pids_limit": 1}, "write 2 or more"),
        ({"pids_limit": "9"}, "must be a whole number"),
        ({"ulimits": "nofile"}, "ulimits must be a list"),
        ({"ulimits": ["nofile"]}, "Each ulimit must be a dict"),
        ({"ulimits": [{}]}, "ulimit dict cannot be empty"),
        ({"ulimits": [{"Name": "nproc", "Soft": 9, "Hard": 9}]}, "nofile can, core is always 0"),
        ({"ulimits": [{"Name": "nofile", "Soft": 9, "Hard": 10}]}, "must be the same"),
        ({"ulimits": [{"Name": "nofile"}]}, "is no ulimit"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused_with_what_can(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        ResourceLimits(**values)
    assert isinstance(raised.value, SandkeeperError)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base_image": ""}, "base_image cannot be empty"),
        ({"base_image": "two words"}, "no image reference"),
        ({"resource_limits": {"memory": "1g"}}, "must be ResourceLimits"),
        ({"network_mode": "host"}, "never shares the host's network; write none or bridge"),
        ({"network_mode": "container:x"}, "Invalid network_mode"),
        ({"read_only": "yes"}, "must be True or False"),
        ({"tmpfs": "/tmp"}, "must be a list"),
        ({"tmpfs": ["tmp"]}, "tmpfs paths must be absolute"),
        ({"tmpfs": [1]}, "tmpfs paths must be strings"),
        ({"tmpfs": ["/tmp:exec"]}, "size=64m is the one option"),
        ({"tmpfs": ["/tmp", "/tmp"]}, "twice"),
        ({"environment_vars": {"A B": "1"}}, "no variable's name"),
        ({"environment_vars": {"A": 1}}, "must be text"),
        ({"volumes": {"data": {"bind": "/data"}}}, "must be an absolute path"),
        ({"volumes": {"/data": "/data"}}, "needs"),
        ({"volumes": {"/data": {"bind": "/data", "mode": "z"}}}, "write ro or rw"),
        ({"working_dir": ""}, "working_dir cannot be empty"),
        ({"working_dir": "here"}, "working_dir must be an absolute path"),
        ({"user": "nobody"}, "write uid:gid in numbers"),
        ({"user": "0:0"}, "root is not given to a sandbox"),
        ({"cap_drop": "ALL"}, "cap_drop must be a list"),
        ({"cap_drop": ["NET_RAW"]}, "name in cap_add"),
        ({"cap_drop": [""]}, "Invalid capability in cap_drop"),
        ({"cap_add": [""]}, "Invalid capability in cap_add"),
        ({"cap_add": ["SYS_ADMIN"]}, "SYS_ADMIN is never given; there are AUDIT_WRITE, CHOWN"),
        ({"security_opt": []}, "cannot be left out"),
        ({"security_opt": ["no-new-privileges:true", "seccomp=unconfined"]}, "'seccomp=unconfined' cannot be set"),
    ],
)
def test_what_a_container_never_gets_is_refused_with_what_it_can(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        ContainerConfig(**values)
    assert isinstance(raised.value, SandkeeperError)


def test_the_defaults_are_the_documented_ones() -> None:
    config = ContainerConfig()
    assert (config.base_image, config.resource_limits) == ("python:3.11-slim", ResourceLimits())
    assert (config.network_mode, config.read_only, config.tmpfs) == ("none", True, ["/tmp"])
    assert (config.environment_vars, config.volumes, config.working_dir, config.user) == ({}, {}, "/workspace", None)
    assert (config.cap_drop, config.cap_add, config.security_opt) == (["ALL"], [], ["no-new-privileges:true"])


def test_it_is_what_docker_py_takes() -> None:
    limits = ResourceLimits("2GB", 1.5, 100, [{"Name": "nofile", "Soft": 512, "Hard": 512}])
    said = ContainerConfig(resource_limits=limits, cap_add=["CHOWN"], user="1000:1000").to_docker_dict()
    assert said == {
        "image": "python:3.11-slim",
        "working_dir": "/workspace",
        "network_mode": "none",
        "read_only": True,
        "environment": {},
        "volumes": {},
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN"],
        "security_opt": ["no-new-privileges:true"],
        "user": "1000:1000",
        "mem_limit": "2GB",
        "cpu_quota": 150000,
        "cpu_period": 100000,
        "pids_limit": 100,
        "ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 512}],
    }
    names = ("network_mode", "read_only", "tmpfs", "cap_drop", "cap_add", "security_opt", "mem_limit", "cpu_quota")
    host = HostConfig(version="1.41", **{name: said[name] for name in names})
    assert (host["Memory"], host["CpuQuota"], host["ReadonlyRootfs"]) == (2048 * MIB, 150000, True)


def test_the_environment_is_laid_over_the_file_that_it_names(tmp_path: Path) -> None:
    file = tmp_path / "containers.toml"
    file.write_text('cap_add = ["CHOWN"]\n[resource_limits]\nmemory = "1g"\npids_limit = 50\n')
    env = {"CONTAINER_CONFIG": str(file), "CONTAINER_CPUS": "0.5", "CONTAINER_IMAGE": "busybox"}
    config = ContainerConfig.from_env(env)
    assert (config.base_image, config.cap_add) == ("busybox", ["CHOWN"])
    assert config.resource_limits == ResourceLimits(memory="1g", cpus="0.5", pids_limit=50)


def test_an_empty_environment_means_512m_and_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "MEMORY", "CPUS", "PIDS", "IMAGE"):
        monkeypatch.delenv(f"CONTAINER_{name}", raising=False)
    assert ContainerConfig.from_env().resource_limits == ResourceLimits(memory="512m", cpus="1.0")


@pytest.mark.parametrize(
    ("variable", "value"), [("MEMORY", "much"), ("CPUS", "none"), ("PIDS", "1.5"), ("IMAGE", "a b"), ("CONFIG", "a/b")]
)
def test_a_bad_variable_is_a_value_error(variable: str, value: str) -> None:
    with pytest.raises(ValueError):
        ContainerConfig.from_env({f"CONTAINER_{variable}": value})


def test_a_python_file_may_hold_the_configuration_or_its_values(tmp_path: Path) -> None:
    made = tmp_path / "made.py"
    made.write_text(
        "from controller.sandbox.container_config import ContainerConfig\n"
        "CONTAINER_CONFIG = ContainerConfig(base_image='busybox')\n"
    )
    told = tmp_path / "told.py"
    told.write_text("CONTAINER_CONFIG = {'base_image': 'busybox', 'resource_limits': {'memory': '64m'}}\n")
    assert ContainerConfig.from_file(made) == ContainerConfig(base_image="busybox")
    assert ContainerConfig.from_file(told).resource_limits.memory == "64m"


def test_a_module_may_hold_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings_of_a_test.py").write_text("CONTAINER_CONFIG = {'base_image': 'busybox'}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ContainerConfig.from_file("settings_of_a_test").base_image == "busybox"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "memory = ", "is not TOML"),
        ("a.toml", 'memory = "1g"', "memory is not known; there are base_image"),
        ("a.toml", '[resource_limits]\nram = "1g"', "resource_limits.ram is not known; there are cpus"),
        ("a.toml", 'network_mode = "host"', "a.toml: Invalid network_mode"),
        ("a.py", "X = 1", "holds no CONTAINER_CONFIG"),
        ("a.py", "CONTAINER_CONFIG = 1", "must be a ContainerConfig or a dict"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused_by_name(name: str, text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        ContainerConfig.from_file(tmp_path / name)


@pytest.mark.parametrize("name", ["missing.toml", "missing.py"])
def test_a_file_that_is_not_there_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ContainerConfig.from_file(tmp_path / name)
