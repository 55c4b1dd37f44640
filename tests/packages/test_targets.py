"""Which packages a Python needs, from what it tells of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from controller.model.errors import EnvironmentFailedError
from controller.runtime.packages.target import PROBE, facts_of

DEBIAN = {
    "implementation": "cpython",
    "version": "3.11.7",
    "threadless": False,
    "bits": 64,
    "machine": "x86_64",
    "glibc": "glibc 2.36",
    "executable": "/usr/bin/python3",
    "purelib": "/usr/local/lib/python3.11/dist-packages",
    "scripts": "/usr/local/bin",
    "data": "/usr/local",
}


def told(**changes: Any) -> str:
    return json.dumps(DEBIAN | changes)


def test_a_real_python_answers() -> None:
    answer = subprocess.run([sys.executable, "-I", "-c", PROBE], capture_output=True, text=True, check=True).stdout
    facts = facts_of(answer, "ours")
    assert facts.target.version == ".".join(map(str, sys.version_info[:3]))
    assert facts.executable == sys.executable


@pytest.mark.parametrize(
    ("changes", "platform"),
    [
        ({}, "x86_64-manylinux_2_36"),
        ({"glibc": "glibc 2.30"}, "x86_64-manylinux_2_28"),
        ({"glibc": "glibc 2.99"}, "x86_64-manylinux_2_40"),
        ({"glibc": "", "machine": "aarch64"}, "aarch64-unknown-linux-musl"),
        ({"machine": "arm64"}, "aarch64-manylinux_2_36"),
    ],
)
def test_the_platform_is_the_newest_that_its_c_library_can_run(changes: dict[str, str], platform: str) -> None:
    assert facts_of(told(**changes), "it").target.platform == platform


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "does not answer as a Python does"),
        ("Segmentation fault", "does not answer as a Python does"),
        (told(implementation="pypy"), "pypy 3.11.7: packages can be had for CPython alone"),
        (told(threadless=True), "free-threaded cpython"),
        (told(version="3.6.9"), "need 3.8 or newer"),
        (told(bits=32), "x86_64 with 32 bits"),
        (told(machine="s390x"), "s390x with 64 bits"),
        (told(glibc="glibc 2.5"), "need glibc 2.17 or newer"),
    ],
)
def test_a_python_that_no_packages_can_be_had_for_is_named_with_the_reason(answer: str, why: str) -> None:
    with pytest.raises(EnvironmentFailedError, match=f"^img:1 .*{why}"):
        facts_of(answer, "img:1")


def test_on_this_machine_any_platform_has_the_packages_that_uv_finds_for_it() -> None:
    assert facts_of(told(machine="s390x"), "ours", is_here=True).target.platform == ""
