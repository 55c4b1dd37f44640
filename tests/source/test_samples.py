"""The samples and the pre-commit hook are what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.source.config import SourceConfig
from controller.source.documents import ManifestText, read_documents
from controller.source.inbox import Batch
from controller.source.kinds import load_schema
from controller.source.ledger import Ledger, View
from controller.source.scanner import Scanner
from controller.source.validate import validate_paths
from tests.source.helpers import admit_all, rules
from tests.support.clock import FakeClock

REPOSITORY = Path(__file__).parents[2]
SAMPLES = sorted((REPOSITORY / "manifests").glob("*.yaml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_valid_and_names_its_schema_for_editors(sample: Path) -> None:
    assert validate_paths([sample], admit_all) == []
    modeline = sample.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", modeline)
    assert named is not None
    assert (sample.parent / named[1]).resolve().is_file()


def test_a_sample_needs_no_engine() -> None:
    bodies = [yaml.safe_load(sample.read_text()) for sample in SAMPLES]
    assert any(body["spec"].get("isolation") == "directory" for body in bodies)


def leaves(schema: dict[str, Any]) -> set[str]:
    below = [*schema.get("properties", {}).items()]
    found = {name for name, _ in below}
    for _, inner in below:
        found |= leaves(inner)
    return found | (leaves(schema["items"]) if isinstance(schema.get("items"), dict) else set())


def test_the_annotated_sample_shows_every_field() -> None:
    text = (REPOSITORY / "manifests/annotated.yaml").read_text()
    assert [name for name in sorted(leaves(load_schema("Sandbox"))) if not re.search(rf"\b{name}:", text)] == []


def test_cutting_a_sample_file_at_any_byte_never_removes_its_sandbox(tmp_path: Path) -> None:
    """Each cut is closed after writing: the worst case, in which nothing marks the file as half-written."""
    data = (REPOSITORY / "manifests/hello-directory.yaml").read_bytes()
    path = tmp_path / "sample.yaml"
    path.write_bytes(data)
    scanner = Scanner(SourceConfig(tmp_path), rules(tmp_path), {}, FakeClock())
    good = scanner.scan(Batch()).documents
    assert len(good) == 1
    for length in range(len(data)):
        path.write_bytes(data[:length])
        cut = scanner.scan(Batch(frozenset({"sample.yaml"})))
        assert (cut.documents.keys(), cut.prune) == (good.keys(), None), length


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_no_prefix_of_a_sample_removes_its_sandbox(sample: Path) -> None:
    text, checks = sample.read_text(), rules(sample.parent)
    ledger = Ledger({})
    for length in (len(text), *range(len(text))):
        source = ManifestText(text[:length], sample.name, sample.parent)
        ledger.take(sample.name, None, read_documents(source, checks), whole=True)
        assert len(ledger.settle(View()).documents) == 1, length


def test_the_hook_runs_validate_on_yaml_files() -> None:
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    assert (hook["entry"], hook["language"], hook["types"]) == ("sandkeeper validate", "python", ["yaml"])
    assert re.search(hook["files"], "deploy/manifests/team/web.yml")
