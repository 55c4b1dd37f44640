"""A cache of a test's own, and a folder of wheels as all that uv can get at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.runtime.packages.cache import PackageCache
from controller.runtime.packages.uv import UvRunner
from tests.support.wheels import only_from, wheel


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions of `greeting`, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        wheel(folder, "greeting", version)
    for name, value in only_from(folder).items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def uv(tmp_path: Path) -> Iterator[UvRunner]:
    """With a cache of its own."""
    runner = UvRunner(tmp_path / "uv", timeout=60)
    yield runner
    runner.close()


@pytest.fixture
def cache(tmp_path: Path, uv: UvRunner) -> PackageCache:
    """Empty."""
    return PackageCache(tmp_path / "packages", uv)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder to work in."""
    folder = tmp_path / "job"
    folder.mkdir()
    return folder
