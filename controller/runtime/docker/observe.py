"""Looking: which containers are ours, what they are and how they ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from controller.model.errors import InstanceNotFoundError, NotOwnedError
from controller.model.identity import LABEL_INSTANCE, SLOTS, Key
from controller.model.observed import InstanceState, Observed
from controller.model.spec import Limits
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.docker.config import DockerConfig
from controller.runtime.docker.container import Container, container_of, observed, observed_in_list
from controller.runtime.docker.epochs import EngineEpochs
from controller.runtime.docker.labels import key_filter, key_of, owner_of
from controller.runtime.docker.oom import OomKills

LiveLimits = Callable[[Container], Limits | None]


class Observer:
    """Reads the engine. Keeps the little that the tick needs of each container seen, by id.

    `live_limits` gives what is in force where the engine's own record does not know it; `on_gone` is told of each
    container that is there no more.
    """

    def __init__(self, client: EngineClient, config: DockerConfig, epochs: EngineEpochs, ooms: OomKills) -> None:
        self._client = client
        self._instance = config.instance
        self._name_of = config.name_of
        self._epochs = epochs
        self._ooms = ooms
        self._lock = threading.Lock()
        self._known: dict[str, Container] = {}
        self._renamed: dict[str, Key] = {}
        self.live_limits: LiveLimits = lambda _: None
        self.on_gone: Callable[[str], None] = lambda _: None

    def list(self) -> Sequence[Observed]:
        """Every container of this instance, in one call."""
        before = set(self._known)
        items = self._listed([f"{LABEL_INSTANCE}={self._instance}"])
        for gone in before.difference(item["Id"] for item in items):
            self.forget(gone)
        found = [observed_in_list(item, self._known.get(item["Id"])) for item in items]
        whole = [seen for seen in found if seen is not None]
        self._renamed = {seen.id: seen.owner.key for seen in whole if not self._is_named_well(seen)}
        return whole

    def inspect(self, key: Key) -> tuple[Observed, ...]:
        """The containers of a key: by their two names, and by label those that somebody renamed."""
        names = [self._name_of(self._instance, key, slot) for slot in SLOTS]
        names += [id for id, other in self._renamed.copy().items() if other == key]
        found = {seen.id: seen for name in names if (seen := self._seen(name, key)) is not None}
        if not found:
            for item in self._listed(key_filter(self._instance, key)):
                if (seen := self._seen(item["Id"], key)) is not None:
                    found[seen.id] = seen
        return tuple(sorted(found.values(), key=lambda seen: seen.owner.slot))

    def owned(self, target: str) -> Container:
        """A container that may be changed. Raises NotOwnedError where it is not ours, InstanceNotFoundError."""
        info = self._inspected(target)
        labels = info["Config"].get("Labels") or {}
        if labels.get(LABEL_INSTANCE) != self._instance:
            raise NotOwnedError(
                f"container {info['Name'].lstrip('/')} does not carry this instance's label and is left alone: "
                "remove or rename it"
            )
        return self._taken(info)

    def known(self, id: str) -> Container | None:
        """A container as last inspected, without a call."""
        return self._known.get(id)

    def forget(self, id: str) -> None:
        """It is gone."""
        with self._lock:
            self._known.pop(id, None)
            self._renamed.pop(id, None)
        self.on_gone(id)

    def renamed(self, id: str, key: Key) -> None:
        """It may carry another name than ours now."""
        with self._lock:
            self._renamed[id] = key

    def _seen(self, target: str, key: Key) -> Observed | None:
        try:
            info = self._inspected(target)
        except InstanceNotFoundError:
            return None
        labels = info["Config"].get("Labels") or {}
        owner = owner_of(labels)
        if owner is None or owner.instance != self._instance or key_of(labels) != key:
            return None  # somebody else's, under a name that we would take
        return observed(self._taken(info), labels, owner)

    def _taken(self, info: Mapping[str, Any]) -> Container:
        """The container, complete, and kept for the tick."""
        container = self._completed(container_of(info))
        with self._lock:
            self._known[container.id] = container
        return container

    def _completed(self, container: Container) -> Container:
        if container.state is InstanceState.RUNNING and (live := self.live_limits(container)) is not None:
            container = replace(container, limits=live)
        end = container.exit
        if end is None:
            return container
        by_engine = self._epochs.explains(end.finished_at, end.code)
        killed = not by_engine and self._ooms.explain(container.id, end, container.started_at)
        return replace(container, exit=replace(end, oom_killed=killed, engine_restarted=by_engine))

    def _is_named_well(self, seen: Observed) -> bool:
        return seen.name == self._name_of(self._instance, seen.owner.key, seen.owner.slot)

    def _inspected(self, target: str) -> Mapping[str, Any]:
        info: Mapping[str, Any] = self._client.get(f"/containers/{quoted(target)}/json")
        return info

    def _listed(self, labels: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        filters = json.dumps({"label": list(labels)})
        items: Sequence[Mapping[str, Any]] = self._client.get("/containers/json", {"all": "1", "filters": filters})
        return items
