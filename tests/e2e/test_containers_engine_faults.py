"""The engine is killed, restarted or hangs: a condition of its own sandboxes, and nobody else's business."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.containers import Outside, counted, sh, told
from tests.e2e.daemon import RunningDaemon
from tests.support import images
from tests.support.engine import PrivateEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


@pytest.fixture
def beside(disposable_engine: PrivateEngine) -> Iterator[RunningDaemon]:
    """A daemon on an engine that may be killed, with two containers and a directory sandbox."""
    disposable_engine.load_images(images.BUSYBOX)
    with RunningDaemon(disposable_engine.docker_host) as running:
        running.declare("web")
        running.declare("job", restartPolicy="Never")
        running.declare("done", command=["true"], restartPolicy="Never")
        running.write("plain.yaml", DIRECTORY)
        running.wait_ready("web", "job", "plain")
        running.wait_condition("done", "Finished", "True")
        yield running


DIRECTORY = """
    apiVersion: sandkeeper.dev/v1alpha1
    kind: Sandbox
    metadata: {name: plain}
    spec: {isolation: directory, command: [sleep, "1000"]}
    """


OBEYS = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]


@pytest.mark.parametrize("first", ["daemon", "engine"])
def test_a_stopped_engine_is_no_end_of_a_sandbox_though_the_daemon_begins_while_it_is_away(
    beside: RunningDaemon, disposable_engine: PrivateEngine, first: str
) -> None:
    daemon = beside
    daemon.declare("polite", command=OBEYS, restartPolicy="OnFailure")
    daemon.wait_ready("polite")
    stops = daemon.stop, disposable_engine.terminate
    for stop in stops if first == "daemon" else reversed(stops):
        stop()
    daemon.start()
    daemon.wait_condition("job", "Degraded", "True", "EngineDown")
    disposable_engine.start()
    daemon.wait_ready("web", "job", "polite")
    for name in ("web", "job", "polite"):
        assert daemon.status(name)["restarts"] == 0
        assert daemon.status(name)["lastTermination"]["cause"] == "EngineRestarted"
    assert daemon.status("done")["phase"] == "Succeeded"
    assert counted(daemon, "done", "Started") == 1


def test_a_killed_engine_comes_back_with_everything_up_and_nothing_held_against_it(
    beside: RunningDaemon, disposable_engine: PrivateEngine
) -> None:
    daemon = beside
    outside = Outside(disposable_engine.client(), daemon)
    sh(daemon, "web", "touch /workspace/file")
    before = {name: outside.inspect(name)["Id"] for name in ("web", "job")}
    plain = daemon.status("plain")["pid"]
    disposable_engine.kill()
    for name in ("web", "job"):
        daemon.wait_condition(name, "Degraded", "True", "EngineDown")
        assert daemon.condition(name, "Ready")["status"] == "False"
        assert daemon.status(name)["containerID"] == before[name]
    assert daemon.status("done")["phase"] == "Succeeded"
    assert daemon.condition("plain", "Ready")["status"] == "True"
    assert daemon.condition("plain", "Degraded")["status"] == "False"
    assert sh(daemon, "plain", "echo here") == "here\n"
    assert httpx.get(f"http://{daemon.address}/healthz").status_code == 200
    assert httpx.get(f"http://{daemon.address}/readyz").status_code == 200
    refused = daemon.cli("exec", "web", "--", "true", check=False)
    assert refused.returncode != 0
    assert "engine" in refused.stderr
    assert "EngineDown" in daemon.cli("describe", "web").stdout
    daemon.declare("web", env=[{"name": "EDITED", "value": "meanwhile"}])
    disposable_engine.start()
    daemon.wait_ready("job", "web")
    assert outside.inspect("job")["Id"] == before["job"]
    for name in ("web", "job"):
        assert daemon.status(name)["restarts"] == 0
        assert daemon.condition(name, "Degraded")["status"] == "False"
    assert daemon.status("job")["lastTermination"]["cause"] == "EngineRestarted"
    assert counted(daemon, "job", "Started") == 2
    assert told(daemon, "job", "Started")[-1] == "the engine was restarted"
    assert sh(daemon, "web", "echo $EDITED; ls /workspace") == "meanwhile\nfile\n"
    assert len(outside.of("web")) == 1
    assert daemon.status("done")["phase"] == "Succeeded"
    assert counted(daemon, "done", "Started") == 1
    assert daemon.status("plain")["pid"] == plain


def test_an_engine_restarted_by_its_operator_is_no_crash(
    beside: RunningDaemon, disposable_engine: PrivateEngine
) -> None:
    daemon = beside
    outside = Outside(disposable_engine.client(), daemon)
    before = outside.inspect("job")["Id"]
    disposable_engine.restart()
    daemon.until(lambda: counted(daemon, "job", "Started") == 2, "it was started again", 60)
    daemon.wait_ready("web", "job")
    assert outside.inspect("job")["Id"] == before
    assert (daemon.status("job")["restarts"], daemon.status("web")["restarts"]) == (0, 0)
    assert daemon.status("job")["lastTermination"]["cause"] == "EngineRestarted"


def test_a_hung_engine_holds_up_only_its_own_keys(beside: RunningDaemon, disposable_engine: PrivateEngine) -> None:
    daemon = beside
    outside = Outside(disposable_engine.client(), daemon)
    before = outside.identity("web")
    disposable_engine.pause()
    try:
        daemon.declare("late")
        began = time.monotonic()
        daemon.write("second.yaml", DIRECTORY.replace("plain", "second"))
        daemon.wait_ready("second")
        daemon.cli("suspend", "second")
        daemon.wait_condition("second", "Suspended", "True")
        assert time.monotonic() - began < 8, "a directory sandbox waited for the engine"
        assert httpx.get(f"http://{daemon.address}/healthz", timeout=2).status_code == 200
        assert daemon.cli("get").returncode == 0
        assert "sandbox_memory_working_set_bytes" in daemon.metrics()
        daemon.wait_condition("web", "Degraded", "True")
    finally:
        disposable_engine.resume()
    daemon.wait_ready("late", "web")
    daemon.wait_condition("web", "Degraded", "False")
    assert outside.identity("web") == before
    assert daemon.status("web")["restarts"] == 0


def test_a_daemon_that_starts_without_its_engine_adopts_what_the_engine_brings_back(
    beside: RunningDaemon, disposable_engine: PrivateEngine
) -> None:
    daemon = beside
    outside = Outside(disposable_engine.client(), daemon)
    before, uid = outside.inspect("web")["Id"], daemon.sandbox("web")["metadata"]["uid"]
    daemon.kill()
    disposable_engine.kill()
    daemon.start()
    daemon.wait_condition("web", "Degraded", "True", "EngineDown")
    daemon.wait_ready("plain")
    disposable_engine.start()
    daemon.wait_ready("web", "job")
    assert (outside.only_of("web")["Id"], daemon.sandbox("web")["metadata"]["uid"]) == (before, uid)
    assert (daemon.status("job")["restarts"], daemon.status("web")["restarts"]) == (0, 0)
