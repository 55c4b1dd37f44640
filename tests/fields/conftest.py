"""The bench of the Docker runtime's tests."""

from __future__ import annotations

from tests.docker_runtime.conftest import bench, make_bench

__all__ = ["bench", "make_bench"]
