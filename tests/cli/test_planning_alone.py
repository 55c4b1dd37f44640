"""A plan without a daemon: nothing that hangs keeps the rest of it back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner

from controller import preview
from controller.cli.main import cli
from controller.model.clock import SystemClock
from controller.model.errors import EngineTimeoutError
from tests.loop.memory import MemoryRuntime

MANIFEST = """
apiVersion: sandkeeper.dev/v1alpha1
kind: Sandbox
metadata: {name: %s}
spec: {isolation: %s}
"""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**config)


def test_an_engine_that_hangs_makes_its_sandboxes_unknown_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, own = MemoryRuntime(SystemClock()), MemoryRuntime(SystemClock(), name="directory")
    hanging.fail("list", EngineTimeoutError("no answer within 10 s"))
    monkeypatch.setattr(preview, "make_runtimes", lambda *_: {"docker": hanging, "directory": own})
    for name, isolation in (("web", "container"), ("here", "directory")):
        (tmp_path / f"{name}.yaml").write_text(MANIFEST % (name, isolation))
    command = ["plan", str(tmp_path), "--state-dir", str(tmp_path / "state")]
    result = CliRunner().invoke(cli, command, prog_name="sandkeeper")
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines if line.startswith("unknown")] == ["unknown sandbox default/web"]
    assert any(line.startswith("create sandbox default/here") for line in lines)
    assert "no answer within 10 s" in result.output
    assert result.exit_code == 1
