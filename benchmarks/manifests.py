"""Manifests to measure with: what a user would write, not the shortest that passes."""

from __future__ import annotations

from pathlib import Path

_TEXT = """\
# yaml-language-server: $schema=../schemas/sandkeeper.dev/sandbox_v1alpha1.json
apiVersion: sandkeeper.dev/v1alpha1
kind: Sandbox
metadata:
  name: {name}
  labels: {{team: research, tier: "{tier}"}}
spec:
  isolation: {isolation}
{image}  env:
    - {{name: LANG, value: C.UTF-8}}
    - {{name: ROLE, value: worker}}
  resources:
    limits: {{memory: 64Mi, cpu: "0.5", pids: 32, disk: 256Mi}}
  enforcement:
    warnAt: 80%
    cpu: {{above: 95%, for: 60s, action: warn}}
  stopGracePeriod: 5s
"""


def container(name: str, tier: int = 0) -> str:
    """A busybox container with small limits and no command: it stays up. Another tier changes no container."""
    return _TEXT.format(name=name, tier=tier, isolation="container", image="  image: busybox:latest\n")


def directory(name: str, tier: int = 0) -> str:
    """A directory sandbox without a command."""
    return _TEXT.format(name=name, tier=tier, isolation="directory", image="")


def save(path: Path, text: str) -> None:
    """Write a file in place, as `cp` does."""
    path.write_text(text, encoding="utf-8")


def fill(folder: Path, text: str, count: int, prefix: str = "s") -> list[Path]:
    """Write `count` manifests made from a text with the name `NAME`; their paths."""
    paths = [folder / f"{prefix}{number:04}.yaml" for number in range(count)]
    for path in paths:
        save(path, text.replace("NAME", path.stem))
    return paths
