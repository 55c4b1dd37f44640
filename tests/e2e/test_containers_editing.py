"""An edit of a limit is made in place; an edit of anything else replaces the container, or leaves the old one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from docker import DockerClient

from tests.e2e.containers import MIB, InForce, Outside, row, sh, told
from tests.e2e.daemon import RunningDaemon

pytestmark = pytest.mark.docker


def limits(**values: Any) -> dict[str, Any]:
    return {"resources": {"limits": values}}


def test_memory_cpu_and_pids_go_up_and_down_in_the_same_container(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    shared.declare("sized", **limits(memory="64Mi", cpu="500m", pids=32))
    shared.wait_ready("sized")
    before = outside_shared.identity("sized")
    assert outside_shared.in_force("sized") == InForce(64 * MIB, 500, 32)
    for memory, cpu, pids in ((128, 1000, 64), (48, 250, 16)):
        shared.declare("sized", **limits(memory=f"{memory}Mi", cpu=f"{cpu}m", pids=pids))
        wanted = InForce(memory * MIB, cpu, pids)
        outside_shared.wait_in_force("sized", wanted)
    shared.until(lambda: row(shared.status("sized"), "memory")["value"] == "48Mi", "the contract shows the new limit")
    assert outside_shared.identity("sized") == before
    assert shared.status("sized")["restarts"] == 0
    assert shared.condition("sized", "Ready")["status"] == "True"
    up, down, last = told(shared, "sized", "Updated")
    assert "spec.resources.limits.memory changed 64Mi → 128Mi" in up
    assert down == "spec.resources.limits.cpu changed 1 → 250m"
    assert last == "spec.resources.limits.memory changed 128Mi → 48Mi; spec.resources.limits.pids changed 64 → 16"


def test_each_limit_alone_is_changed_in_place(shared: RunningDaemon, outside_shared: Outside) -> None:
    shared.declare("alone", **limits(memory="64Mi", cpu="1", pids=32))
    shared.wait_ready("alone")
    before = outside_shared.identity("alone")
    steps = [
        (limits(memory="80Mi", cpu="1", pids=32), InForce(80 * MIB, 1000, 32)),
        (limits(memory="80Mi", cpu="300m", pids=32), InForce(80 * MIB, 300, 32)),
        (limits(memory="80Mi", cpu="300m", pids=99), InForce(80 * MIB, 300, 99)),
        (limits(memory="32Mi", cpu="300m", pids=99), InForce(32 * MIB, 300, 99)),
    ]
    for spec, wanted in steps:
        shared.declare("alone", **spec)
        outside_shared.wait_in_force("alone", wanted)
    assert outside_shared.identity("alone") == before


def test_a_limit_below_present_usage_waits_until_usage_falls(shared: RunningDaemon, outside_shared: Outside) -> None:
    spec = {"filesystem": {"tmpfs": {"/tmp": "12Mi"}}}
    shared.declare("full", **limits(memory="64Mi"), **spec)
    shared.wait_ready("full")
    before = outside_shared.identity("full")
    sh(shared, "full", "dd if=/dev/zero of=/tmp/held bs=1M count=11 2>/dev/null")
    hold = "x=$(dd if=/dev/zero bs=1M count=20 2>/dev/null | tr '\\0' x); touch /workspace/held; "
    hold += "while [ -e /workspace/held ]; do sleep 0.1; done"
    sh(shared, "full", f"({hold}) >/dev/null 2>&1 & while [ ! -e /workspace/held ]; do sleep 0.1; done")
    shared.declare("full", **limits(memory="16Mi"), **spec)
    shared.wait_condition("full", "Degraded", "True", "ResizePending")
    assert outside_shared.in_force("full").memory == 64 * MIB
    assert shared.condition("full", "Ready")["status"] == "True"
    assert shared.status("full")["phase"] == "Running"
    message = shared.condition("full", "Degraded")["message"]
    assert "the new limit is 16Mi: the old one stays until usage falls" in message
    assert "ResizePending" in shared.cli("describe", "full").stdout
    assert "ResizePending" in shared.cli("explain", "full").stdout
    sh(shared, "full", "rm /tmp/held /workspace/held")
    shared.until(lambda: outside_shared.in_force("full").memory == 16 * MIB, "the lower limit is in force")
    shared.wait_condition("full", "Degraded", "False")
    assert outside_shared.identity("full") == before
    assert shared.status("full")["restarts"] == 0


@pytest.fixture
def other_image(docker_client: DockerClient, busybox_image: str) -> str:
    """The same busybox under another name."""
    docker_client.api.tag(busybox_image, "busybox", "other")
    return "busybox:other"


def test_image_command_and_env_replace_the_container_and_keep_uid_and_workspace(
    shared: RunningDaemon, outside_shared: Outside, other_image: str
) -> None:
    shared.declare("web")
    shared.wait_ready("web")
    uid = shared.sandbox("web")["metadata"]["uid"]
    sh(shared, "web", "echo kept > /workspace/file")
    edits: list[dict[str, Any]] = [
        {"image": other_image},
        {"image": other_image, "command": ["sleep", "1234"]},
        {"image": other_image, "command": ["sleep", "1234"], "env": [{"name": "MOOD", "value": "calm"}]},
    ]
    for generation, edit in enumerate(edits, start=2):
        old, since = outside_shared.only_of("web")["Id"], time.time()
        shared.declare("web", **edit)
        outside_shared.wait_replaced("web", old)
        new = outside_shared.inspect("web")["Id"]
        done = [(action, "old" if id == old else "new") for action, id in outside_shared.actions("web", since)]
        assert [step for step in done if step[0] in ("pause", "create", "start", "destroy")] == [
            ("pause", "old"),
            ("create", "new"),
            ("start", "new"),
            ("destroy", "old"),
        ]
        assert (new != old, shared.sandbox("web")["metadata"]["uid"]) == (True, uid)
        shared.wait_ready("web")
        assert shared.status("web")["observedGeneration"] == generation
        assert sh(shared, "web", "cat /workspace/file") == "kept\n"
    assert sh(shared, "web", "echo $MOOD; tr '\\0' ' ' < /proc/1/cmdline").startswith("calm\n")
    assert shared.status("web")["image"] == other_image
    assert shared.status("web")["restarts"] == 0
    causes = told(shared, "web", "Replacing")
    assert "spec.image changed busybox:latest → busybox:other" in causes[0]
    assert "spec.command" in causes[1]
    assert "spec.env" in causes[2]
    assert "calm" not in causes[2]


def test_what_cannot_replace_it_leaves_the_old_one_running_until_the_edit_is_taken_back(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    shared.declare("old")
    shared.wait_ready("old")
    before = outside_shared.identity("old")
    bad: list[tuple[dict[str, Any], str, str]] = [
        ({"image": "no-such-image:1", "imagePullPolicy": "Never"}, "ImageUnavailable", "no-such-image:1"),
        ({"image": "no-such-image:1"}, "ImageUnavailable", "no-such-image:1"),
        ({"command": ["/no/such/program"]}, "ReplaceFailed", "/no/such/program"),
        ({"command": ["sh", "-c", "exit 3"]}, "ReplaceFailed", "exited with status 3"),
        ({"runtimeClass": "no-such-runtime"}, "ReplaceFailed", "no-such-runtime"),
    ]
    for spec, reason, text in bad:
        shared.declare("old", **spec)
        shared.wait_condition("old", "Degraded", "True", reason)
        shared.until(lambda: shared.status("old")["phase"] == "Running", "it is Running")
        shared.wait_ready("old")
        assert text in shared.condition("old", "Degraded")["message"]
        assert outside_shared.identity("old") == before
        for verb in ("describe", "explain"):
            assert text in shared.cli(verb, "old").stdout
        shared.declare("old")
        shared.wait_condition("old", "Degraded", "False")
        shared.wait_ready("old")
        assert outside_shared.identity("old") == before
    assert [info["Id"] for info in outside_shared.of("old")] == [before[0]]
    assert shared.status("old")["restarts"] == 0
    assert sh(shared, "old", "echo alive") == "alive\n"


OBEYS = """
    while sleep 0.1; do
        if rm crash 2>/dev/null; then exit 3; fi
        if rm eat 2>/dev/null; then (tail /dev/zero); fi
    done
    """


def test_the_old_one_is_looked_after_while_its_replacement_has_no_image(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    spec = {"command": ["sh", "-c", OBEYS], **limits(memory="24Mi")}
    shared.declare("kept", **spec)
    shared.wait_ready("kept")
    container, _, started = outside_shared.identity("kept")
    shared.declare("kept", **spec, image="no-such-image:1", imagePullPolicy="Never")
    shared.wait_condition("kept", "Degraded", "True", "ImageUnavailable")
    causes = []
    for act in ("crash", "eat", ""):
        if act:
            sh(shared, "kept", f"touch {act}")
        else:
            shared.cli("restart", "kept")
        before = started

        def is_another_run(before: str = before) -> bool:
            state = outside_shared.only_of("kept")["State"]
            return bool(state["Running"] and state["StartedAt"] != before)

        shared.until(is_another_run, f"it runs again after {act or 'restart'}")
        shared.wait_ready("kept")
        now, _, started = outside_shared.identity("kept")
        assert now == container
        causes.append(shared.status("kept")["lastTermination"]["cause"])
        assert shared.condition("kept", "Degraded")["reason"] == "ImageUnavailable"
    assert causes[:2] == ["exited with status 3", "memory: the kernel killed 1 process at the limit of 24Mi"]
    assert "restart" in causes[2]
    assert shared.status("kept")["restarts"] == 3
    shared.declare("kept", **spec)
    shared.wait_condition("kept", "Degraded", "False")
    assert outside_shared.identity("kept")[::2] == (container, started)


@pytest.mark.root
def test_what_an_edit_of_the_user_cannot_replace_keeps_its_workspace(shared: RunningDaemon) -> None:
    shared.declare("owner")
    shared.wait_ready("owner")
    sh(shared, "owner", "echo first > file")
    shared.declare("owner", user="20002:20002", command=["sh", "-c", "echo theirs > theirs; exit 3"])
    shared.wait_condition("owner", "Degraded", "True", "ReplaceFailed")
    shared.wait_ready("owner")
    assert sh(shared, "owner", "echo more >> file; cat file theirs") == "first\nmore\ntheirs\n"


AS_DIRECTORY = """
    apiVersion: sandkeeper.dev/v1alpha1
    kind: Sandbox
    metadata: {name: moves}
    spec: {isolation: directory, command: [sleep, "1000"]}
    """


@pytest.mark.root
def test_a_directory_that_no_container_can_replace_keeps_its_workspace(shared: RunningDaemon) -> None:
    shared.write("moves-not.yaml", AS_DIRECTORY.replace("moves", "moves-not"))
    shared.wait_ready("moves-not")
    sh(shared, "moves-not", "echo first > file")
    shared.declare("moves-not", command=["sh", "-c", "exit 3"])
    shared.wait_condition("moves-not", "Degraded", "True", "ReplaceFailed")
    shared.wait_ready("moves-not")
    assert sh(shared, "moves-not", "echo more >> file; cat file") == "first\nmore\n"


@pytest.mark.root
def test_a_container_becomes_a_directory_and_a_container_again_on_the_same_workspace(
    shared: RunningDaemon, outside_shared: Outside
) -> None:
    shared.declare("moves")
    shared.wait_ready("moves")
    uid = shared.sandbox("moves")["metadata"]["uid"]
    sh(shared, "moves", "echo one > file")
    shared.write("moves.yaml", AS_DIRECTORY)
    shared.until(lambda: outside_shared.of("moves") == [], "the container has made way")
    shared.wait_ready("moves")
    assert shared.status("moves")["isolation"] == "directory"
    assert sh(shared, "moves", "cat file; echo two > file") == "one\n"
    shared.declare("moves")
    shared.until(lambda: shared.status("moves")["isolation"] == "container", "it is a container again")
    shared.wait_ready("moves")
    assert sh(shared, "moves", "cat file") == "two\n"
    assert shared.sandbox("moves")["metadata"]["uid"] == uid
    assert shared.status("moves")["restarts"] == 0
