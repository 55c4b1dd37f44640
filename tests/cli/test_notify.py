"""What systemd hears from the daemon: real datagrams on a real socket."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    """A manager's socket, and its address as it stands in the environment."""
    with tempfile.TemporaryDirectory(prefix="sk-") as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        abstract = request.param == "abstract"
        path = str(Path(folder, "notify"))
        bound.bind("\0" + path if abstract else path)
        bound.settimeout(5)
        yield bound, ("@" if abstract else "") + path


def test_each_state_is_one_datagram(manager: tuple[socket.socket, str]) -> None:
    """As sd_notify(3) spells them."""
    bound, address = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.ready("watching\nmanifests")
    notifier.status("3 sandboxes")
    notifier.alive()
    notifier.stopping()
    told = [bound.recv(1024).decode() for _ in range(4)]
    assert told == ["READY=1\nSTATUS=watching manifests", "STATUS=3 sandboxes", "WATCHDOG=1", "STOPPING=1"]


def test_without_a_manager_nothing_is_sent() -> None:
    """On a terminal."""
    notifier = Notifier.from_environment({})
    notifier.ready()
    assert notifier == Notifier("", None)


def test_a_manager_that_went_away_is_no_error() -> None:
    """The daemon goes on."""
    Notifier("/nonexistent/notify").ready()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(environment: dict[str, str], interval: float | None) -> None:
    """Where it watches this process."""
    assert Notifier.from_environment(environment).watchdog == interval
