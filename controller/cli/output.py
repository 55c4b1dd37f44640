"""Documents as JSON or YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click


def show_json(document: Mapping[str, Any], compact: bool = False) -> None:
    """Print it; compact: in one line, for a stream of them."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=None if compact else 2))


def show_yaml(document: Mapping[str, Any]) -> None:
    """Print it with its keys in the order that they have."""
    click.echo(as_yaml(document), nl=False)


def as_yaml(document: Mapping[str, Any]) -> str:
    """YAML in block style, long texts as literal blocks."""
    import yaml  # noqa: PLC0415 - most output is not YAML

    class Dumper(yaml.SafeDumper):
        def represent_text(self, text: str) -> yaml.ScalarNode:
            return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, Dumper.represent_text)
    return yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
