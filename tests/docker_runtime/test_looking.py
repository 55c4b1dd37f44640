"""What is observed: by key and all at once, also after somebody renamed or changed a container."""

from __future__ import annotations

import pytest
from docker import DockerClient

from controller.model.identity import SANDBOX, Key, instance_name, sandbox_key
from controller.model.observed import InstanceState
from controller.model.spec import Limits
from tests.docker_runtime.bench import Bench, desired

pytestmark = pytest.mark.docker
WEB = sandbox_key("default", "web")


def test_what_is_not_there_is_a_confirmed_absence(bench: Bench) -> None:
    assert bench.runtime.inspect(WEB) == ()
    assert list(bench.runtime.list()) == []


def test_a_running_one_is_seen_whole(bench: Bench) -> None:
    before = bench.clock.now()
    seen = bench.run()
    wanted = desired()
    assert seen.name == instance_name(bench.instance, WEB, "a")
    assert (seen.owner.key, seen.owner.instance, seen.owner.slot) == (WEB, bench.instance, "a")
    assert (seen.owner.generation, seen.owner.spec_hash, seen.template) == (1, wanted.spec_hash, wanted.template)
    assert (seen.runtime, seen.state, seen.has_process) == ("docker", InstanceState.RUNNING, True)
    assert seen.limits == Limits(memory=64 << 20, cpu=500, pids=32, open_files=256)
    assert seen.started_at is not None
    assert before - 1 < seen.created_at <= seen.started_at <= bench.clock.now()
    assert seen.pid is not None
    assert seen.pid > 1
    assert seen.image_id.startswith("sha256:")


def test_unlimited_is_seen_as_none(bench: Bench) -> None:
    seen = bench.create(spec={"resources": {"limits": {"memory": None, "cpu": None, "pids": None}}})
    assert (seen.limits.memory, seen.limits.cpu, seen.limits.pids) == (None, None, None)


def test_both_slots_are_seen(bench: Bench) -> None:
    first, second = bench.run(), bench.create(slot="b")
    assert [seen.id for seen in bench.runtime.inspect(WEB)] == [first.id, second.id]
    assert {seen.id for seen in bench.runtime.list()} == {first.id, second.id}


def test_a_list_knows_what_was_inspected(bench: Bench) -> None:
    seen = bench.run()
    assert list(bench.runtime.list()) == [seen]


def test_a_list_of_the_unknown_knows_owner_state_and_template(bench: Bench) -> None:
    seen = bench.run()
    listed = bench.another().list()[0]
    assert (listed.owner, listed.id, listed.name, listed.state) == (seen.owner, seen.id, seen.name, seen.state)
    assert listed.template == seen.template


def test_a_list_does_not_keep_a_state_that_has_passed(bench: Bench) -> None:
    seen = bench.run()
    bench.runtime.kill(seen.id)
    listed = bench.runtime.list()[0]
    assert (listed.state, listed.pid) == (InstanceState.EXITED, None)


def test_one_that_somebody_renamed_is_still_seen(bench: Bench, raw: DockerClient) -> None:
    seen = bench.run()
    raw.api.rename(seen.id, f"renamed-{seen.id[:8]}")
    assert [found.id for found in bench.runtime.inspect(WEB)] == [seen.id]


def test_one_renamed_beside_its_replacement_is_seen_after_a_list(bench: Bench, raw: DockerClient) -> None:
    first, second = bench.run(), bench.create(slot="b")
    raw.api.rename(first.id, f"renamed-{first.id[:8]}")
    bench.runtime.list()
    assert [found.id for found in bench.runtime.inspect(WEB)] == [first.id, second.id]


def test_limits_changed_from_outside_are_seen(bench: Bench, raw: DockerClient) -> None:
    seen = bench.run()
    raw.api.update_container(seen.id, mem_limit="96m", memswap_limit="96m")
    assert bench.look("web", seen.id).limits.memory == 96 << 20


def test_namespaces_and_kinds_do_not_mix(bench: Bench) -> None:
    bench.run()
    assert bench.runtime.inspect(sandbox_key("other", "web")) == ()
    assert bench.runtime.inspect(Key("Other" + SANDBOX, "default", "web")) == ()


def test_a_main_process_killed_by_the_kernel_is_an_oom_kill(bench: Bench) -> None:
    hungry = {"command": ["tail", "-c", "200m", "/dev/zero"], "filesystem": {"tmpfs": {}}}
    ended = bench.ended(bench.run(spec=hungry))
    assert (ended.code, ended.signal, ended.oom_killed, ended.engine_restarted) == (137, 9, True, False)


def test_an_own_end_after_a_child_was_killed_is_no_oom_kill(bench: Bench) -> None:
    script = "tail -c 200m /dev/zero; exit 3"
    ended = bench.ended(bench.run(spec={"command": ["sh", "-c", script], "filesystem": {"tmpfs": {}}}))
    assert (ended.code, ended.oom_killed) == (3, False)
