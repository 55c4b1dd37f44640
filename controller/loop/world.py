"""What the daemon knows, shared by its threads: one lock, immutable values, and a version that watchers wait on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from controller.model.conditions import ConditionType, condition_of
from controller.model.hold import Hold
from controller.model.identity import Key
from controller.model.manifest import Document, Fault, Snapshot
from controller.model.observed import ContractRow, InstanceState, Observed, Usage
from controller.model.record import Intent, Record
from controller.model.spec import Desired
from controller.model.status import Phase, SandboxStatus


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is known of one key. `failure` is the reason and message of what failed last, until a pass succeeds.

    `contract_of` says which state of which instance the contract was read from. `recalled`: it is from an earlier life
    of the daemon, and what is so now was not looked at yet.
    """

    record: Record
    status: SandboxStatus | None = None
    observed: tuple[Observed, ...] = ()
    contract: tuple[ContractRow, ...] = ()
    contract_of: str = ""
    usage: Usage | None = None
    failure: tuple[str, str] | None = None
    recalled: bool = False

    @property
    def running(self) -> Observed | None:
        """The instance that runs now, if one does."""
        for seen in self.observed:
            if seen.state is InstanceState.RUNNING:
                return seen
        return None

    @property
    def ready(self) -> bool:
        """Ready now, or finished well whenever that was."""
        if self.status is None:
            return False
        finished = condition_of(self.status.conditions, ConditionType.FINISHED)
        if finished is not None and finished.reason == Phase.SUCCEEDED:
            return True
        condition = condition_of(self.status.conditions, ConditionType.READY)
        return not self.recalled and condition is not None and condition.status == "True"


class World:
    """Shared knowledge. Every method is atomic; what they return is immutable."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._version = 0
        self._entries: dict[Key, Entry] = {}
        self._desired: dict[Key, Desired] = {}
        self._holds: dict[Key, tuple[Hold, ...]] = {}
        self._intents: dict[Key, Intent] = {}
        self._listed: dict[str, frozenset[Key]] = {}
        self._snapshot = Snapshot()
        self._retained: frozenset[Key] = frozenset()
        self._told = threading.Event()

    def atomically(self) -> AbstractContextManager[bool]:
        """Several calls as one: nobody else changes anything between them."""
        return self._changed

    # What is wanted

    def declare(self, snapshot: Snapshot, desired: Mapping[Key, Desired], retained: frozenset[Key]) -> None:
        """Replace what is wanted by what a new snapshot says."""
        with self._changed:
            self._snapshot, self._desired, self._retained = snapshot, dict(desired), retained
            self._bump()
        self._told.set()

    @property
    def told(self) -> threading.Event:
        """Set once the manifests have spoken. Before that nobody knows what is wanted, and nothing may be done."""
        return self._told

    def declared(self) -> Mapping[Key, Desired]:
        """Everything wanted. The mapping is replaced, never changed."""
        return self._desired

    def snapshot(self) -> Snapshot:
        """The manifests' present snapshot."""
        return self._snapshot

    def document(self, key: Key) -> Document | None:
        """The document that declares the key."""
        return self._snapshot.documents.get(key)

    def stale(self, key: Key) -> Fault | None:
        """The fault for which the key's last good version is served."""
        return self._snapshot.stale.get(key)

    def is_retained(self, key: Key) -> bool:
        """True where the key's manifest is known to exist but not what it says."""
        return key in self._retained

    # What is remembered and seen

    def entry(self, key: Key) -> Entry | None:
        """What is known of a key."""
        return self._entries.get(key)

    def is_ready(self, key: Key) -> bool:
        """True where what depends on the key may start: it is Ready, or has done its work."""
        entry = self._entries.get(key)
        return entry is not None and entry.ready

    def entries(self) -> Mapping[Key, Entry]:
        """A copy of everything known."""
        with self._changed:
            return dict(self._entries)

    def put(self, key: Key, entry: Entry) -> None:
        """Replace what is known of a key; watchers wake where its status changed."""
        with self._changed:
            before = self._entries.get(key)
            self._entries[key] = entry
            if before is None or before.status != entry.status:
                self._bump()

    def amend(self, key: Key, change: Callable[[SandboxStatus], SandboxStatus]) -> None:
        """Change what is shown of a key until its next pass."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None and entry.status is not None:
                self.put(key, replace(entry, status=change(entry.status)))

    def measured(self, usages: Mapping[Key, Usage]) -> None:
        """Take in the measurements of a tick; they wake no watcher."""
        with self._changed:
            for key, usage in usages.items():
                entry = self._entries.get(key)
                if entry is not None:
                    self._entries[key] = replace(entry, usage=usage)

    def forget(self, key: Key) -> None:
        """Nothing is left of the key."""
        with self._changed:
            self._entries.pop(key, None)
            self._intents.pop(key, None)
            self._bump()

    def list_of(self, runtime: str, keys: frozenset[Key]) -> None:
        """Remember which keys a runtime listed instances of."""
        with self._changed:
            self._listed[runtime] = keys

    def listing_runtimes(self, key: Key) -> frozenset[str]:
        """The runtimes whose last list held the key."""
        with self._changed:
            return frozenset(name for name, keys in self._listed.items() if key in keys)

    def all_keys(self) -> frozenset[Key]:
        """Every key that is wanted, remembered or listed."""
        with self._changed:
            return frozenset(self._entries).union(self._desired, self._retained, *self._listed.values())

    # Holds and intents

    def holds(self, key: Key) -> tuple[Hold, ...]:
        """The holds on a key."""
        return self._holds.get(key, ())

    def all_holds(self) -> tuple[Hold, ...]:
        """Every hold."""
        with self._changed:
            return tuple(hold for holds in self._holds.values() for hold in holds)

    def set_holds(self, holds: Sequence[Hold]) -> None:
        """Replace all holds."""
        with self._changed:
            self._holds = {}
            for hold in holds:
                self._holds[hold.key] = (*self._holds.get(hold.key, ()), hold)

    def add_hold(self, hold: Hold) -> None:
        """Add a hold; one of the same type on the key is replaced."""
        with self._changed:
            others = tuple(held for held in self.holds(hold.key) if held.type is not hold.type)
            self._holds[hold.key] = (*others, hold)

    def put_holds(self, key: Key, holds: tuple[Hold, ...]) -> None:
        """Replace the holds on a key."""
        with self._changed:
            self._holds[key] = holds

    def release(self, key: Key, ends: Callable[[Hold], bool]) -> tuple[Hold, ...]:
        """End those holds of a key; what was ended."""
        with self._changed:
            holds = self.holds(key)
            ended = tuple(hold for hold in holds if ends(hold))
            kept = tuple(hold for hold in holds if hold not in ended)
            if kept:
                self._holds[key] = kept
            else:
                self._holds.pop(key, None)
            return ended

    def intend(self, key: Key, intent: Intent) -> None:
        """Ask once for something; a later wish replaces an earlier one."""
        with self._changed:
            self._intents[key] = intent

    def intent(self, key: Key) -> Intent | None:
        """What was asked for."""
        return self._intents.get(key)

    def consume(self, key: Key, intent: Intent | None) -> None:
        """That intent was carried out; a newer one stays."""
        with self._changed:
            if intent is not None and self._intents.get(key) is intent:
                del self._intents[key]

    # Watching

    @property
    def version(self) -> int:
        """Grows with every change that a watcher wants to see."""
        return self._version

    def wait_for_change(self, version: int, timeout: float) -> int:
        """Block until there is a newer version, or the timeout; the present version."""
        with self._changed:
            self._changed.wait_for(lambda: self._version > version, timeout)
            return self._version

    def _bump(self) -> None:
        self._version += 1
        self._changed.notify_all()
