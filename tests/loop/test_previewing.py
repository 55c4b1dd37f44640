"""What a plan says beside its operations."""

from __future__ import annotations

from pathlib import Path

from controller.model.manifest import Fault, PruneBlock, Snapshot
from tests.loop.harness import Harness, document


def test_a_plan_tells_of_refused_manifests_and_removals_held_back_and_of_no_warning(tmp_path: Path) -> None:
    harness, web = Harness(tmp_path), document("web")
    harness.declare(web)
    harness.advance(2)
    refused = Fault("bad.yaml", 2, 1, "not valid YAML")
    harness.source.deliver(
        Snapshot(
            {web.key: web},
            faults=(refused, Fault("web.yaml", 4, 9, "512M is decimal", warning=True)),
            prune=PruneBlock("the root vanished", frozenset({web.key}), "abc"),
            synced=True,
        )
    )
    preview = harness.loop.control.plan()
    assert preview.operations == []
    assert preview.faults == ["bad.yaml:2:1: not valid YAML", "1 removal is held back: the root vanished"]
