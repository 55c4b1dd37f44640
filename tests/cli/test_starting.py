"""Starting fast: a verb loads what it needs and no more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT

HEAVY = {"docker", "httpx", "jsonschema", "prometheus_client", "requests", "starlette", "structlog", "uvicorn"}
TRACE = """
import json, sys
from controller.cli.main import cli
try:
    cli(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""


def loaded(*arguments: str) -> set[str]:
    """The top-level packages that a command line has imported at its end."""
    ended = subprocess.run(
        [sys.executable, "-c", TRACE, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "verb", [["get"], ["version"], ["exec", "web", "--", "true"], ["logs", "web"], ["wait", "web", "--for=Ready"]]
)
def test_verbs_that_ask_the_daemon_load_neither_engine_client_nor_server(verb: list[str]) -> None:
    """They start in the time of click and the standard library's HTTP client."""
    assert not loaded(*verb[:1], "--state-dir", "/nonexistent", *verb[1:]) & (HEAVY | {"rich", "yaml", "watchdog"})


def test_the_overview_loads_no_verb() -> None:
    """It is what shells ask for while completing."""
    assert not loaded("--help") & (HEAVY | {"rich", "yaml", "http"})
