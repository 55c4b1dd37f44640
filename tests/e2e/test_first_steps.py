"""What a new user sees first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.daemon import RunningDaemon

SAMPLES = Path(__file__).resolve().parents[2] / "manifests"


def test_the_directory_sample_becomes_ready_without_an_engine(engineless: RunningDaemon) -> None:
    shutil.copytree(SAMPLES, engineless.manifests, dirs_exist_ok=True)
    samples = list(SAMPLES.glob("*.yaml"))
    engineless.until(lambda: len(engineless.sandboxes()) == len(samples), "every sample is seen")
    directories = [name for name, item in engineless.sandboxes().items() if item["spec"]["isolation"] == "directory"]
    assert directories, "no sample is a directory sandbox"
    engineless.wait_ready(*directories)


def test_a_container_sample_without_an_engine_says_what_is_missing(engineless: RunningDaemon) -> None:
    engineless.declare("web")
    engineless.wait_condition("web", "Degraded", "True", "EngineDown")
    assert "docker" in engineless.condition("web", "Degraded")["message"].lower()


@pytest.mark.docker
def test_a_manifest_is_traced_from_the_saved_file_to_the_ready_container(daemon: RunningDaemon) -> None:
    daemon.declare("web")
    daemon.wait_ready("web")
    status = daemon.status("web")
    assert status["phase"] == "Running"
    assert status["isolation"] == "container"
    stages = [status["timings"][stage] for stage in ("saved", "seen", "planned", "created", "ready")]
    assert stages == sorted(stages)


@pytest.mark.docker
def test_a_removed_file_takes_the_container_and_leaves_the_workspace_in_the_trash(daemon: RunningDaemon) -> None:
    daemon.declare("web")
    daemon.wait_ready("web")
    uid = daemon.sandbox("web")["metadata"]["uid"]
    daemon.undeclare("web")
    daemon.wait_gone("web")
    assert (daemon.state_dir / "trash" / uid).is_dir()
