"""Networks of ours: one bridge for each namespace that needs one, closed between its containers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from controller.model.clock import Clock
from controller.model.errors import ConflictError, InstanceNotFoundError, NotOwnedError, RuntimeFailure
from controller.model.identity import LABEL_INSTANCE, LABEL_NAMESPACE, Key
from controller.runtime.docker import firewall
from controller.runtime.docker.client import EngineClient, quoted
from controller.runtime.keyed_locks import KeyedLocks

log = structlog.get_logger(__name__)

_OURS: Final = re.compile(r"sandkeeper-.+-([0-9a-f]{8})")
_BRIDGE: Final = "com.docker.network.bridge.name"
_GAP_SECONDS: Final = 60.0


class Networks:
    """The bridges of one instance. For any thread."""

    def __init__(self, client: EngineClient, instance: str, clock: Clock) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._locks = KeyedLocks()
        self._users: dict[str, set[Key]] = {}
        self._gaps: dict[str, tuple[float, str]] = {}

    def name_of(self, namespace: str) -> str:
        """The deterministic name of a namespace's network."""
        return f"sandkeeper-{namespace}-{self._digest(namespace)}"

    def bridge_of(self, namespace: str) -> str:
        """The name of its interface on this machine, within the kernel's 15 characters."""
        return f"sk-{self._digest(namespace)}"

    def ensure(self, key: Key) -> None:
        """Have the network of a key's namespace. Raises NotOwnedError where its name is taken by another's."""
        name = self.name_of(key.namespace)
        with self._locks.held(name):
            self._users.setdefault(name, set()).add(key)
            try:
                found = self._client.get(f"/networks/{quoted(name)}")
            except InstanceNotFoundError:
                found = self._create(key.namespace, name)
            if (found.get("Labels") or {}).get(LABEL_INSTANCE) != self._instance:
                raise NotOwnedError(f"network {name} does not carry this instance's label and is left alone: remove it")
            self.guard(name)

    def guard(self, network: str) -> None:
        """Close a network to link-local addresses, where it is one of ours: the rule is lost with a reboot."""
        matched = _OURS.fullmatch(network)
        if matched and (why := firewall.block_link_local(f"sk-{matched[1]}")):
            log.warning("link_local_not_blocked", network=network, reason=why)

    def gap(self, namespace: str) -> str:
        """Why the namespace's bridge is not closed ("" where it is); looked up at most once a minute."""
        now = self._clock.monotonic()
        known = self._gaps.get(namespace)
        if known is None or now - known[0] > _GAP_SECONDS:
            for stale in [other for other, (at, _) in tuple(self._gaps.items()) if now - at > _GAP_SECONDS]:
                self._gaps.pop(stale, None)
            known = self._gaps[namespace] = (now, firewall.gap(self.bridge_of(namespace)))
        return known[1]

    def collect(self, wanted: Callable[[Key], bool]) -> None:
        """Remove the networks of ours that no container uses and no sandbox that is wanted was prepared for."""
        ours = self._client.get("/networks", {"filters": self._filter()})
        if not ours and not self._users:
            return
        containers = self._client.get("/containers/json", {"all": "1", "filters": self._filter()})
        used = {(item.get("HostConfig") or {}).get("NetworkMode") for item in containers}
        for network in ours:
            with self._locks.held(network["Name"]):
                if network["Name"] not in used and not self._is_wanted(network["Name"], wanted):
                    self._remove(network)
        self._forget_users(wanted)
        firewall.sweep()

    def _is_wanted(self, name: str, wanted: Callable[[Key], bool]) -> bool:
        # Between a prepare and the start that uses its network no container shows that it is needed.
        return any(wanted(key) for key in self._users.get(name, ()))

    def _forget_users(self, wanted: Callable[[Key], bool]) -> None:
        for name in tuple(self._users):
            with self._locks.held(name):
                self._users[name] = {key for key in self._users.get(name, ()) if wanted(key)}
                if not self._users[name]:
                    del self._users[name]

    def _create(self, namespace: str, name: str) -> Mapping[str, Any]:
        body = {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "EnableIPv6": False,
            "Labels": {LABEL_INSTANCE: self._instance, LABEL_NAMESPACE: namespace},
            "Options": {"com.docker.network.bridge.enable_icc": "false", _BRIDGE: self.bridge_of(namespace)},
        }
        try:
            self._client.post("/networks/create", body)
        except ConflictError:
            log.info("network_made_meanwhile", network=name)
        found: Mapping[str, Any] = self._client.get(f"/networks/{quoted(name)}")
        return found

    def _remove(self, network: Mapping[str, Any]) -> None:
        try:
            self._client.delete(f"/networks/{quoted(network['Id'])}")
        except InstanceNotFoundError:
            log.info("network_gone_meanwhile", network=network["Name"])
        except RuntimeFailure as exc:  # a container joined it meanwhile: the next round sees that
            log.warning("network_not_removed", network=network["Name"], error=str(exc))
            return
        firewall.unblock_link_local((network.get("Options") or {}).get(_BRIDGE, ""))
        log.info("network_removed", network=network["Name"])

    def _filter(self) -> str:
        return json.dumps({"label": [f"{LABEL_INSTANCE}={self._instance}"]})

    def _digest(self, namespace: str) -> str:
        return hashlib.sha256(f"{self._instance}\0{namespace}".encode()).hexdigest()[:8]
