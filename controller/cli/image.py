"""Images with packages: built before they are needed, listed, and removed where nobody uses them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from controller.cli.human import age, size
from controller.cli.options import duration, json_option
from controller.cli.output import show_json
from controller.cli.settings import FROM_ENVIRONMENT, pass_config
from controller.cli.table import Table, show
from controller.config import DaemonConfig
from controller.model.errors import UsageError
from controller.model.printable import printable
from controller.model.quantity import parse_memory

if TYPE_CHECKING:
    from controller.prebuild import Built
    from controller.runtime.docker.image_store import PackageImage

_NONE: Final = "none"

every_option = click.option("-A", "--all", "of_all", is_flag=True, help="Also those of other state folders.")


def memory(value: str) -> int:
    """`20Gi` as bytes. Raises click.BadParameter."""
    try:
        return parse_memory(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc)) from exc


@click.group()
def image_command() -> None:
    """Build, list and remove images with packages."""


@image_command.command("build", context_settings=FROM_ENVIRONMENT)
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "-f",
    "files",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="MANIFEST",
    help="A manifest; repeatable.",
)
@click.option("--upgrade", is_flag=True, help="Lock the newest packages that are allowed, not those of last time.")
@json_option
@pass_config
def build_command(
    config: DaemonConfig, paths: Sequence[Path], files: Sequence[Path], upgrade: bool, output: str
) -> int:
    """Have what the manifests of a folder or file need, before a sandbox does.

    For containers an image with their packages, for directories the packages. Needs no daemon; one that runs finds what
    was built. Exit 1 where something could not be had.
    """
    from controller.prebuild import Prebuilder, needs_of  # noqa: PLC0415 - --help needs no engine client
    from controller.report.logging import configure_logging  # noqa: PLC0415 - as above

    if not paths and not files:
        raise UsageError("name a folder or file of manifests: sandkeeper image build PATH, or -f MANIFEST")
    configure_logging(sys.stderr, "warning")
    needs = needs_of(config, [*paths, *files])
    built: list[Built] = []
    with Prebuilder(config) as prebuilder, _stages() as tell:
        for each in prebuilder.build(needs, tell, upgrade):
            built.append(each)
            if output != "json":
                click.echo(_built_line(each), err=bool(each.failure))
    if output == "json":
        show_json({"items": [_built_document(each) for each in built]})
    elif not built:
        click.echo("no sandbox has packages")
    return 1 if any(each.failure for each in built) else 0


@image_command.command("list", context_settings=FROM_ENVIRONMENT)
@every_option
@json_option
@pass_config
def list_command(config: DaemonConfig, of_all: bool, output: str) -> None:
    """List the images that sandkeeper has made, those used longest ago first.

    SIZE is what was added to the base. Images that others have made are never listed.
    """
    from controller.prebuild import Prebuilder  # noqa: PLC0415 - --help needs no engine client

    with Prebuilder(config) as prebuilder:
        images = prebuilder.store.list(of_all)
    if output == "json":
        show_json({"items": [_document(image) for image in images]})
    elif images:
        show(Table(["IMAGE", "BASE", "SIZE", "USED", "IN USE", "PACKAGES"], [_row(image) for image in images]))
    else:
        click.echo("there are no images of ours")


@image_command.command("prune", context_settings=FROM_ENVIRONMENT)
@click.option("--older-than", type=duration, metavar="DURATION", help="Only those unused for so long.")
@click.option("--max-size", type=memory, metavar="SIZE", help="Only as many as are beyond it in all.")
@click.option("--dry-run", is_flag=True, help="Only say which.")
@every_option
@json_option
@pass_config
def prune_command(
    config: DaemonConfig, older_than: float | None, max_size: int | None, of_all: bool, **given: Any
) -> None:
    """Remove images that sandkeeper has made and no container uses, those used longest ago first.

    Without --older-than and --max-size all of them. One that is removed is built again when a sandbox wants it.
    """
    from controller.prebuild import Prebuilder  # noqa: PLC0415 - --help needs no engine client

    with Prebuilder(config) as prebuilder:
        gone = prebuilder.prune(older_than, max_size, of_all=of_all, dry=given["dry_run"])
    if given["output"] == "json":
        show_json({"items": [_document(image) for image in gone], "dryRun": given["dry_run"]})
        return
    for image in gone:
        click.echo(f"{image.name}: {'would be removed' if given['dry_run'] else 'removed'} ({size(image.added)})")
    if not gone:
        click.echo("nothing to remove")


@contextmanager
def _stages() -> Iterator[Callable[[str], None]]:
    """Where stages are told: in one changing line of a terminal, and nowhere else."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - a pipe does without rich, which costs 60 ms

    with Console(stderr=True).status("reading manifests") as status:
        yield lambda stage: status.update(printable(stage))


def _built_line(built: Built) -> str:
    who = ", ".join(built.sandboxes)
    if built.failure:
        return "\n".join(printable(line) for line in f"error: {who}: {built.failure}".splitlines())
    what = f"{built.name} from {built.need.image}" if built.name else "packages are at hand"
    return printable(f"{who}: {what}: {', '.join(built.need.packages)}")


def _built_document(built: Built) -> dict[str, Any]:
    return {
        "sandboxes": list(built.sandboxes),
        "base": built.need.image or None,
        "packages": list(built.need.packages),
        "image": built.name or None,
        "error": built.failure or None,
    }


def _row(image: PackageImage) -> list[str]:
    return [
        image.name,
        image.base,
        size(image.added),
        age(time.time() - image.used_at),
        "yes" if image.in_use else "no",
        ", ".join(image.packages) or _NONE,
    ]


def _document(image: PackageImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "id": image.id,
        "instance": image.instance,
        "base": image.base,
        "packages": list(image.packages),
        "addedBytes": image.added,
        "usedAt": image.used_at,
        "inUse": image.in_use,
    }
