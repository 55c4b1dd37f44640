"""Keeping containers on a bridge of ours away from link-local addresses, where clouds serve their credentials.

The rule stands in the raw table, before any routing: it holds for a metadata server on the machine itself as well, and
neither needs Docker's own chains nor is flushed with them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

LINK_LOCAL: Final = "169.254.0.0/16"
_SECONDS: Final = 10.0
_TAG: Final = re.compile(r'--comment "?sandkeeper:(\S+?)"? ')


def block_link_local(bridge: str) -> str:
    """Drop what a bridge's containers send to link-local addresses; why that cannot be done, or the empty string."""
    lack = _lack()
    if lack:
        return lack
    if is_blocked(bridge):
        return ""
    return _run("-I", bridge)


def unblock_link_local(bridge: str) -> None:
    """Take the rule away again. Idempotent."""
    while not _lack() and is_blocked(bridge):
        if _run("-D", bridge):
            return


def is_blocked(bridge: str) -> bool:
    """Whether the rule is in force; False too where that cannot be told."""
    return not _lack() and not _run("-C", bridge)


def sweep() -> None:
    """Take away the rules of bridges that are there no more: a network can be removed from outside."""
    if _lack():
        return
    for bridge in set(_TAG.findall(_iptables("-t", "raw", "-S", "PREROUTING")[0])):
        if not Path("/sys/class/net", bridge).exists():
            unblock_link_local(bridge)


def gap(bridge: str) -> str:
    """Why a bridge is not closed between its containers or to link-local addresses; the empty string where it is."""
    if lack := _lack():
        return f"{lack}, nor read it back: link-local metadata is not blocked"
    if not is_blocked(bridge):
        return "link-local addresses (cloud metadata) are not blocked"
    rules, failure = _iptables("-t", "filter", "-S")
    between = re.compile(rf"-i {re.escape(bridge)} -o {re.escape(bridge)}\b.*-j DROP")
    if failure or not between.search(rules):
        return "no filter rule keeps its containers apart: the engine runs with iptables off"
    return ""


def _lack() -> str:
    if os.geteuid() != 0:
        return "only root can add a packet filter"
    return "" if shutil.which("iptables", path=_search_path()) else "there is no iptables on this machine"


def _run(what: str, bridge: str) -> str:
    """Empty where it succeeded, else what iptables says."""
    rule = ["PREROUTING", "-i", bridge, "-d", LINK_LOCAL, "-m", "comment", "--comment", f"sandkeeper:{bridge}"]
    return _iptables("-t", "raw", what, *rule, "-j", "DROP")[1]


def _search_path() -> str:
    """Absolute folders alone: an empty element means the working folder, which may be anybody's."""
    folders = (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin")
    return ":".join(folder for folder in folders if folder.startswith("/"))


def _iptables(*arguments: str) -> tuple[str, str]:
    """What it prints, and why it failed (the empty string where it did not)."""
    program = shutil.which("iptables", path=_search_path()) or "iptables"
    command = [program, "-w", "5", *arguments]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return "", f"iptables cannot be run: {exc}"
    if done.returncode == 0:
        return done.stdout, ""
    return "", done.stderr.strip() or f"iptables exited with {done.returncode}"
