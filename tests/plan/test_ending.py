"""An end is accounted for once: whose doing it was, and whether and when the sandbox runs again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.model.observed import InstanceState
from controller.model.record import Intent, Record
from controller.plan.crashloop import next_streak, restart_delay
from controller.plan.sandbox import plan_ahead
from controller.plan.view import Plan
from tests.plan.support import NOW, Given, given, lines, text_of


def accounted(situation: Given) -> Record:
    """The record after the end was accounted for, which is all that this pass may do."""
    plan = situation.plan()
    assert plan.operations == ()
    assert plan.ended == situation.observed[0]
    assert plan.requeue_at == situation.now
    return plan.record


def following(situation: Given) -> Plan:
    """The plan after the accounting."""
    return situation.record(**changes_of(accounted(situation))).plan()


def changes_of(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def cause_of(record: Record) -> str:
    assert record.last_termination is not None
    return record.last_termination.cause


@pytest.mark.parametrize(
    ("policy", "code", "restarts", "finished"),
    [
        ("Always", 0, True, ""),
        ("Always", 1, True, ""),
        ("OnFailure", 0, False, "Succeeded"),
        ("OnFailure", 1, True, ""),
        ("Never", 0, False, "Succeeded"),
        ("Never", 1, False, "Failed"),
    ],
)
def test_restart_policy_and_exit_code_decide(policy: str, code: int, restarts: bool, finished: str) -> None:
    situation = given().desired(image="a", restartPolicy=policy).exited(code)
    record = accounted(situation)
    assert (record.finished, record.restarts) == (finished, int(restarts))
    phase = "Succeeded" if code == 0 else "Failed"
    assert text_of(following(situation)) == (
        lines(
            f"start docker-a: restartPolicy {policy} after: exited with status {code}",
            "= Creating, not ready: Starting",
        )
        if restarts
        else f"= {phase}, not ready: {finished} (exited with status {code}); finished {finished}"
    )


def test_an_end_is_accounted_for_once() -> None:
    situation = given().desired(image="a", restartPolicy="Never").exited(0)
    again = following(situation)
    assert (again.ended, again.operations, again.requeue_at) == (None, (), None)


def test_the_status_at_the_accounting_is_already_the_one_that_follows() -> None:
    assert (
        given().desired(image="a").exited(1).text()
        == text_of(following(given().desired(image="a").exited(1))).splitlines()[-1]
    )


def test_the_first_end_restarts_at_once_and_later_ones_wait_longer_and_longer() -> None:
    assert [restart_delay(streak) for streak in (0, 1, 2, 3, 4, 10, 11)] == [0, 0, 1, 2, 4, 256, 300]
    assert restart_delay(100_000) == 300


def test_a_run_of_ten_minutes_begins_a_new_streak() -> None:
    assert next_streak(7, 599.9) == 8
    assert next_streak(7, 600.0) == 1


def test_a_crash_loop_is_shown_and_ends_when_its_wait_is_over() -> None:
    situation = given().desired(image="a").exited(3, ran=5).record(crash_streak=3, restarts=3)
    record = accounted(situation)
    assert (record.crash_streak, record.restart_after, record.restarts) == (4, NOW + 4, 4)
    waiting = situation.record(**changes_of(record))
    message = "exited with status 3; ended 4 times in a row, waits 4s"
    assert waiting.text() == f"= CrashLoopBackOff, not ready: CrashLoopBackOff ({message})"
    assert waiting.later(1).text() == waiting.text()
    assert waiting.plan().requeue_at == NOW + 4
    assert waiting.later(4).text() == lines(
        "start docker-a: restartPolicy Always after: exited with status 3", "= Creating, not ready: Starting"
    )


def test_a_clock_that_was_set_back_keeps_no_crash_loop_waiting_longer_than_the_longest_wait() -> None:
    situation = given().desired(image="a").exited(1).record(handled_exit=f"docker-a@{NOW:.3f}", crash_streak=9)
    assert situation.record(restart_after=NOW + 300).plan().verdict.reason == "CrashLoopBackOff"
    assert situation.record(restart_after=NOW + 301).plan().verdict.reason == "Starting"
    removed = given().desired(image="a").record(crash_streak=9, restart_after=NOW + 86400)
    assert str(removed.plan().operations[-1].verb) == "start"


def test_a_crash_loop_waits_though_its_container_was_removed() -> None:
    situation = given().desired(image="a").record(instance_id="docker-a", crash_streak=5, restart_after=NOW + 8)
    assert situation.plan().verdict.reason == "CrashLoopBackOff"


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_cannot_be_executed_waits_for_an_edit(code: int) -> None:
    situation = given().desired(image="a", command=["/nope", "--token=secret"]).exited(code, ran=0.3)
    why = "not found" if code == 127 else "not executable"
    message = f"/nope: {why} (exit {code}); correct spec.command or spec.image"
    assert text_of(following(situation)) == f"= Failed, not ready: CannotRun ({message})"
    waiting = situation.record(**changes_of(accounted(situation)))
    assert waiting.later(9999).plan().operations == ()
    edited = waiting.desired(image="a", command=["/bin/true"])
    assert [str(operation.verb) for operation in edited.plan().operations] == ["prepare", "remove", "create", "start"]


@pytest.mark.parametrize(("code", "what"), [(126, "is not executable"), (127, "was not found")])
@pytest.mark.parametrize(
    "words",
    [
        {"command": ["sh", "-c", "httpd -f"]},
        {"command": ["/bin/bash", "-euo", "pipefail", "-lc", "httpd -f"]},
        {"command": ["/bin/ash"], "args": ["-c", "httpd -f"]},
    ],
)
def test_a_shell_is_not_blamed_for_what_its_script_cannot_run(words: Any, code: int, what: str) -> None:
    message = f"exit {code}: a command {what}; see its log; correct spec.command or spec.image"
    assert accounted(given().desired(image="a", **words).exited(code, ran=0.3)).failure == message


@pytest.mark.parametrize("command", [["sh"], ["bash", "run.sh"], ["grep", "-c", "x"], ["bash", "--norc"]])
def test_a_program_without_a_script_of_commands_is_named(command: list[str]) -> None:
    failure = accounted(given().desired(image="a", command=command).exited(127, ran=0.3)).failure
    assert failure == f"{command[0]}: not found (exit 127); correct spec.command or spec.image"


def test_a_shell_that_could_not_be_started_itself_is_named_with_the_runtimes_reason() -> None:
    situation = given().desired(image="a", command=["sh", "-c", "x"]).exited(127, ran=0.0)
    (seen,) = situation.observed
    assert seen.exit is not None
    end = replace(seen.exit, error="No such file or directory")
    failure = accounted(replace(situation, observed=(replace(seen, exit=end),))).failure
    assert failure == "sh: No such file or directory (exit 127); correct spec.command or spec.image"


def test_the_same_status_after_a_second_is_an_ordinary_end() -> None:
    assert accounted(given().desired(image="a").exited(127, ran=2)).failed_hash == ""


def test_an_engines_own_message_tells_why_it_cannot_run() -> None:
    situation = given().desired(image="a", args=["serve"]).exited(127, ran=0.1)
    assert accounted(situation).failure == "serve: not found (exit 127); correct spec.command or spec.image"
    bare = given().desired(image="a").exited(127, ran=0.1)
    assert accounted(bare).failure.startswith("its image's command: not found")


def test_an_oom_kill_names_the_limit() -> None:
    record = accounted(given().desired(image="a").exited(137, oom=True))
    assert cause_of(record) == "memory: killed by the kernel at the limit of 512Mi"
    assert record.crash_streak == 1


def test_a_signal_is_named() -> None:
    assert cause_of(accounted(given().desired(image="a").exited(139, signal=11))) == "ended by SIGSEGV"
    assert cause_of(accounted(given().desired(image="a").exited(200, signal=72))) == "ended by signal 72"


def test_an_engine_restart_starts_again_whatever_the_policy_without_counting() -> None:
    situation = given().desired(image="a", restartPolicy="Never").exited(137, engine_restarted=True)
    situation = situation.record(crash_streak=4, restart_after=NOW + 99, restarts=4)
    record = accounted(situation)
    assert (record.finished, record.restarts, record.crash_streak) == ("", 4, 4)
    assert cause_of(record) == "EngineRestarted"
    assert text_of(following(situation)) == lines(
        "start docker-a: the engine was restarted", "= Creating, not ready: Starting"
    )


def test_an_end_that_was_asked_for_is_not_held_against_it() -> None:
    situation = given().desired(image="a", restartPolicy="Never").exited(143, signal=15)
    record = accounted(situation.record(ending=Intent("stop", "Suspended: by ada"), crash_streak=3))
    assert (record.finished, record.crash_streak, record.ending) == ("", 0, None)
    assert cause_of(record) == "Suspended: by ada"


def test_a_kill_by_enforcement_counts_and_names_the_limit() -> None:
    ending = Intent("killed", "pids: 128 of 128, over the limit")
    record = accounted(given().desired(image="a").exited(137, signal=9).record(ending=ending))
    assert (record.crash_streak, record.restarts, record.ending) == (1, 1, None)
    assert cause_of(record) == "pids: 128 of 128, over the limit"
    once = accounted(given().desired(image="a", restartPolicy="Never").exited(137).record(ending=ending))
    assert once.finished == "Failed"


def test_a_kill_is_carried_out_and_then_only_its_end_is_awaited() -> None:
    situation = given().desired(image="a").running().asked("kill", "memory: 600Mi of 512Mi, over the limit")
    assert situation.text() == lines(
        "kill docker-a: memory: 600Mi of 512Mi, over the limit",
        "= Running, not ready: Killing (memory: 600Mi of 512Mi, over the limit)",
    )
    plan = situation.plan()
    assert plan.consumed
    assert plan.after is not None
    interrupted = given().desired(image="a").running().record(ending=plan.record.ending)
    assert [str(operation.verb) for operation in interrupted.plan().operations] == ["kill"]
    carried_out = given().desired(image="a").running().record(ending=plan.after.ending)
    assert carried_out.plan().operations == ()


def test_a_restart_stops_counts_and_starts_at_once() -> None:
    situation = given().desired(image="a", restartPolicy="Never").running().record(restarts=1)
    asked = situation.asked("restart", "asked for by ada")
    assert asked.text() == lines(
        "stop docker-a: asked for by ada", "= Running, not ready: Restarting (asked for by ada)"
    )
    after = asked.plan().after
    assert after is not None
    down = given().desired(image="a", restartPolicy="Never").exited(143, signal=15)
    record = accounted(down.record(ending=after.ending, restarts=1))
    assert (record.restarts, record.finished, cause_of(record)) == (2, "", "asked for by ada")


def test_a_restart_of_a_paused_one_needs_no_thaw() -> None:
    paused = given().desired(image="a").running(state=InstanceState.PAUSED).asked("restart", "by ada")
    assert [str(operation.verb) for operation in paused.plan().operations] == ["stop"]


def test_a_restart_ends_every_wait() -> None:
    looping = (
        given()
        .desired(image="a")
        .exited(1)
        .record(handled_exit=f"docker-a@{NOW:.3f}", restart_after=NOW + 99, crash_streak=9)
    )
    asked = looping.asked("restart", "by ada")
    assert [str(operation.verb) for operation in asked.plan().operations] == ["start"]
    assert asked.plan().consumed
    finished = looping.record(finished="Failed", restart_after=0.0).asked("restart", "by ada")
    assert [str(operation.verb) for operation in finished.plan().operations] == ["start"]


def test_a_kill_of_what_no_longer_runs_is_dropped() -> None:
    looping = given().desired(image="a").exited(1).record(handled_exit=f"docker-a@{NOW:.3f}", restart_after=NOW + 99)
    plan = looping.asked("kill", "memory").plan()
    assert (plan.operations, plan.consumed, plan.verdict.reason) == ((), True, "CrashLoopBackOff")


def test_a_kill_that_was_meant_for_an_earlier_run_is_dropped() -> None:
    running = given().desired(image="a").running()
    (seen,) = running.observed
    for run, verbs in ((seen.run, ["kill"]), (f"{seen.id}@{NOW - 999}", [])):
        plan = running.but(intent=Intent("kill", "memory", run=run)).plan()
        assert ([str(operation.verb) for operation in plan.operations], plan.consumed) == (verbs, True)


def test_a_restart_of_what_has_ended_says_who_asked() -> None:
    finished = given().desired(image="a").exited(1).record(finished="Failed", handled_exit=f"docker-a@{NOW:.3f}")
    assert [str(each) for each in finished.asked("restart", "by ada").plan().operations] == [
        "start sandbox default/web: by ada"
    ]


def test_a_dry_run_looks_past_the_accounting() -> None:
    plan = plan_ahead(given().desired(image="a").exited(1).view())
    assert [str(operation.verb) for operation in plan.operations] == ["start"]
