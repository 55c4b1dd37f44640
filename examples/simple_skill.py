"""A skill becomes a sandbox, its tools run, and it is removed.

    python examples/simple_skill.py [container|directory]

Containers need a Docker engine with the image python:3.11-slim, or one that can pull it. The mode is by default what
$USE_CONTAINER says, else container.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from controller import ContainerConfig, ResourceLimits, SandboxBuilder

SKILL = Path(__file__).with_name("simple_skill.md")


def main(mode: str | None) -> int:
    """Build, work, remove; the exit status."""
    config = ContainerConfig(resource_limits=ResourceLimits(memory="256m", cpus=1.0, pids_limit=64))
    with tempfile.TemporaryDirectory(prefix="sandboxes-") as folder:
        try:
            builder = SandboxBuilder(folder, isolation_mode=mode, container_config=config)
        except RuntimeError as exc:  # no engine: the text says what is wrong with it
            print(exc, file=sys.stderr)
            return 1
        with builder:
            id = builder.build_from_skill_file(SKILL)
            info = builder.get_sandbox_info(id)
            print(f"{info['skill_name']} runs in {info['isolation_mode']} mode, with {', '.join(info['tools'])}")
            builder.execute_in_sandbox(id, "write_file", file_path="notes/first.txt", content="Bring milk.\n")
            print("notes:", *builder.execute_in_sandbox(id, "list_files", directory_path="notes"))
            print("first.txt:", builder.execute_in_sandbox(id, "read_file", file_path="notes/first.txt"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
