"""What is kept of an instance's last moments: the measurements before its end and the tail of its log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import RuntimeFailure
from controller.model.observed import Observed
from controller.model.record import Intent, Sample
from controller.model.spec import Resource, SecretRef
from controller.plan.target import LIMIT_EXCEEDED
from controller.plan.view import Notice, Plan, View
from controller.plan.window import Window
from controller.runtime.protocol import Runtime

from .journal import Journal

log = structlog.get_logger(__name__)

_TAIL_LINES: Final = 20
_TAIL_BYTES: Final = 4096
# An OOM kill that a tick found so shortly before an end by one is the same.
_ONE_KILL_SECONDS: Final = 1.0


Redact = Callable[[Sequence[SecretRef], str], str]
"""A text without the values of these secrets."""


class Evidence:
    """The enforcement windows by instance, and what an end is completed with."""

    def __init__(self, runtimes: Mapping[str, Runtime], journal: Journal, clock: Clock, redact: Redact) -> None:
        self._runtimes = runtimes
        self._journal = journal
        self._clock = clock
        self._redact = redact
        self._windows: dict[str, Window] = {}
        self._ended: dict[str, str] = {}
        self._lock = threading.Lock()

    def begin(self, instance: str) -> None:
        """An instance was created: what happens from now on counts."""
        with self._lock:
            self._windows[instance] = Window.from_start(self._clock.now())

    def window(self, instance: str) -> Window:
        """The window of an instance."""
        with self._lock:
            return self._windows.get(instance) or Window()

    def remember(self, instance: str, run: str, window: Window) -> bool:
        """Take in a tick's window; False where the end of the run that it measured has been accounted for already."""
        with self._lock:
            self._windows[instance] = window
            return self._ended.get(instance) != run

    def instances(self) -> frozenset[str]:
        """Those of which something is kept."""
        with self._lock:
            return frozenset(self._windows.keys() | self._ended.keys())

    def forget(self, instances: frozenset[str]) -> None:
        """These are gone."""
        with self._lock:
            for kept in (self._windows, self._ended):
                for instance in kept.keys() & instances:
                    del kept[instance]

    def complete(self, view: View, plan: Plan) -> Plan:
        """The plan with the termination that it has just accounted for completed, kept and announced."""
        termination, ended = plan.record.last_termination, plan.ended
        if ended is None or termination is None:
            return plan
        complete = replace(
            termination,
            samples=self._samples(ended.id, termination.cause, view.record.ending),
            log_tail=self._redact(_secrets_of(view), self._log_tail(ended.runtime, ended.id)),
        )
        self._journal.evidence(view.key, plan.record.uid, complete)
        unasked = view.record.ending is None and termination.exit_code != 0
        notices = [*plan.notices, Notice("Ended", complete.cause, warning=unasked)]
        oom_at = self._close(ended)
        if _is_untold_kill(view, ended, oom_at):
            notices.append(Notice(LIMIT_EXCEEDED, f"{complete.cause}; action kill", warning=True))
        record = replace(plan.record, last_termination=complete)
        return replace(plan, record=record, notices=tuple(notices))

    def _close(self, ended: Observed) -> float | None:
        """No tick tells of this run any more; when one last found an OOM kill in it."""
        with self._lock:
            self._ended[ended.id] = ended.run
            return self._windows.get(ended.id, Window()).oom_at

    def _samples(self, instance: str, cause: str, ending: Intent | None) -> tuple[Sample, ...]:
        """Those of the window, or those that a kill was given where the window began anew with the daemon."""
        named = cause.partition(":")[0]
        resource = Resource(named) if named in set(Resource) else Resource.MEMORY
        return max(self.window(instance).evidence(resource), ending.samples if ending else (), key=len)

    def _log_tail(self, runtime: str, instance: str) -> str:
        tail = b""
        try:
            for chunk in self._runtimes[runtime].logs(instance, tail=_TAIL_LINES):
                tail = (tail + chunk)[-_TAIL_BYTES:]  # a line can be as long as the whole log
        except RuntimeFailure as exc:
            log.info("log_tail_unread", error=str(exc))
            return ""
        return tail.decode(errors="replace")


def _secrets_of(view: View) -> tuple[SecretRef, ...]:
    env = view.desired.spec.env if view.desired else ()
    return tuple(entry.secret for entry in env if entry.secret is not None)


def _is_untold_kill(view: View, ended: Observed, oom_at: float | None) -> bool:
    """True where the kernel enforced the memory limit on a main process and no tick was in time to see it."""
    end = ended.exit
    if end is None or not end.oom_killed or view.record.ending is not None:
        return False
    return oom_at is None or oom_at < end.finished_at - _ONE_KILL_SECONDS
