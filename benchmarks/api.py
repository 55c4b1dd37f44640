"""The Python API: a skill becomes a sandbox, its tools run, and it is removed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.containers import BareDocker, timed
from benchmarks.figure import Baseline, Bound, Figure, p50
from benchmarks.suite import Bench, Benchmark
from controller import ContainerConfig, ResourceLimits, SandboxBuilder
from tests.support import images

ROUNDS: Final = 15
CALLS: Final = 200
CREATE_RATIO: Final = 1.15
CREATE: Final = "skill → container running, warm image"
CLEANUP: Final = "cleanup of a container sandbox"
TOOL: Final = "a file tool in container mode"
DIRECTORY: Final = "skill → directory sandbox, no packages"
# As BareDocker's containers are.
CONFIG: Final = ContainerConfig(
    base_image=images.BUSYBOX,
    resource_limits=ResourceLimits("64m", 0.5, 32, [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]),
    environment_vars={"LANG": "C.UTF-8", "ROLE": "worker"},
)
SKILL: Final = "# Bench\n\n## Description\nReads and writes.\n\n## Tools\n- read_file: Read\n- write_file: Write\n"


@dataclass(frozen=True, slots=True)
class _Samples:
    """Seconds; `bare` and `bare_gone` are docker-py's."""

    bare: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    bare_gone: list[float] = field(default_factory=list)
    gone: list[float] = field(default_factory=list)


def run(bench: Bench) -> Iterator[Figure]:
    """Four rows: containers in turn with bare ones, then a tool beside a plain read, then directories."""
    samples = _Samples()
    with bench.folder() as folder, _found_by_clients(bench.engine.docker_host):
        skill = folder / "bench.md"
        skill.write_text(SKILL)
        bare = BareDocker(bench.engine.docker_host, folder / "workspace")
        with SandboxBuilder(folder / "sandboxes", "container", CONFIG) as builder:
            _round(bare, builder, skill, 0, _Samples())
            bench.say(f"{ROUNDS} rounds, bare and ours in turn")
            for number in range(1, ROUNDS + 1):
                _round(bare, builder, skill, number, samples)
            tool, plain = _tool(builder, skill)
        bare.close()
        with SandboxBuilder(folder / "sandboxes", "directory", CONFIG) as builder:
            made = [timed(lambda: builder.build_from_skill_file(skill)) for _ in range(ROUNDS + 1)][1:]
    baseline = p50(samples.bare) * 1000
    bound = Bound(baseline * CREATE_RATIO, f"{CREATE_RATIO} of the baseline")
    yield Figure.of(CREATE, "ms", _ms(samples.ours), Baseline("bare docker-py create+start", baseline), bound)
    gone = Baseline("bare docker-py stop+remove", p50(samples.bare_gone))
    yield Figure.of(CLEANUP, "s", samples.gone, gone, Bound(0.5))
    yield Figure.of(TOOL, "ms", _ms(tool), Baseline("a plain open and read", p50(plain) * 1000), Bound(5.0))
    yield Figure.of(DIRECTORY, "ms", _ms(made), bound=Bound(20.0))


def _round(bare: BareDocker, builder: SandboxBuilder, skill: Path, number: int, samples: _Samples) -> None:
    began = time.perf_counter()
    other = bare.run(f"bare-api-{number}")
    samples.bare.append(time.perf_counter() - began)
    began = time.perf_counter()
    id = builder.build_from_skill_file(skill)
    samples.ours.append(time.perf_counter() - began)
    info = builder.get_sandbox_info(id) or {}
    bare.check_equal(info["container_id"], other)
    samples.bare_gone.append(timed(bare.stop_and_remove, other))
    samples.gone.append(timed(builder.cleanup, id))


def _tool(builder: SandboxBuilder, skill: Path) -> tuple[list[float], list[float]]:
    id = builder.build_from_skill_file(skill)
    path = Path(builder.execute_in_sandbox(id, "write_file", file_path="a.txt", content="a line\n" * 100))
    ours = [timed(lambda: builder.execute_in_sandbox(id, "read_file", file_path="a.txt")) for _ in range(CALLS)]
    return ours, [timed(path.read_text) for _ in range(CALLS)]


def _ms(samples: list[float]) -> list[float]:
    return [each * 1000 for each in samples]


@contextmanager
def _found_by_clients(docker_host: str) -> Iterator[None]:
    """The engine that a client finds meanwhile."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = docker_host
    try:
        yield
    finally:
        if before is None:
            del os.environ["DOCKER_HOST"]
        else:
            os.environ["DOCKER_HOST"] = before


BENCHMARK = Benchmark("api", (CREATE, CLEANUP, TOOL, DIRECTORY), run, engine=True, root=True)
