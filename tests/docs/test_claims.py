"""What the documents claim beyond what the tour shows: verbs, statuses, fields, links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.docs.tour import ROOT

README: Final = (ROOT / "README.md").read_text()
DOCUMENTS: Final = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
_LINK: Final = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


def sandkeeper(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, which finds no daemon and no engine."""
    command = [sys.executable, "-m", "controller.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def verbs_of_the_table() -> set[str]:
    """Every verb that the README's table of commands names."""
    rows = re.findall(r"^\| (`.*?) \|", README.partition("## The command line")[2], re.MULTILINE)
    return {verb for row in rows for verb in re.findall(r"`(?:sandkeeper )?([a-z]+)", row)}


def test_the_table_of_commands_is_that_of_the_help() -> None:
    helped = set(re.findall(r"^  ([a-z]+)  +[A-Z]", sandkeeper("--help").stdout, re.MULTILINE))
    assert verbs_of_the_table() == helped


def test_options_that_the_readme_names_exist() -> None:
    """Those of `run` and `get`, with the defaults that are told."""
    run, get = sandkeeper("run", "--help").stdout, sandkeeper("get", "--help").stdout
    named = re.search(r"^\| `sandkeeper run` \|.*$", README, re.MULTILINE)
    assert named is not None
    for option in re.findall(r"`(--[a-z-]+)", named[0]):
        assert option in run
    assert "[default: 2s]" in run
    assert "[default: 127.0.0.1:9464]" in run
    assert all(option in get for option in ("-o, --output", "yaml|json", "-w, --watch"))


@pytest.mark.parametrize("arguments", [["frobnicate"], ["get", "--nonsense"], ["exec"], ["wait", "web"]], ids=" ".join)
def test_usage_errors_end_with_64(arguments: list[str]) -> None:
    ended = sandkeeper(*arguments)
    assert (ended.returncode, ended.stdout) == (64, "")
    assert ended.stderr.startswith("error: ")


def test_the_readmes_manifests_are_valid(tmp_path: Path) -> None:
    """The one it shows, and the one that it calls whole."""
    (shown,) = re.findall(r"^    (apiVersion:.*(?:\n    .*)+)", README, re.MULTILINE)
    (tmp_path / "shown.yaml").write_text(shown.replace("\n    ", "\n"))
    whole = {"apiVersion": "sandkeeper.dev/v1alpha1", "kind": "Sandbox", "metadata": {"name": "whole"}, "spec": {}}
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(whole))
    ended = sandkeeper("validate", str(tmp_path))
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    links = _LINK.findall((ROOT / document).read_text())
    missing = [link for link in links if not ((ROOT / document).parent / link).exists()]
    assert missing == []


def test_make_knows_the_targets_that_are_named() -> None:
    helped = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    known = {line.split()[0] for line in helped.splitlines()}
    for document in DOCUMENTS:
        named = re.findall(r"(?:`|^    )make ([a-z-]+)", (ROOT / document).read_text(), re.MULTILINE)
        assert set(named) <= known, document
