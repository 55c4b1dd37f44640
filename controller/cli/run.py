"""The daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import click

from controller import __version__
from controller.cli.options import FOLDER, Command, duration, tick
from controller.cli.settings import FROM_ENVIRONMENT, pass_config
from controller.config import DaemonConfig, socket_path

_LEVELS: Final = ("debug", "info", "warning", "error")
_FORMATS: Final = ("auto", "console", "json")


def _option(name: str, default: Any, text: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(name, default=default, help=text, show_default=True, **settings)


@click.command(context_settings=FROM_ENVIRONMENT)
@_option("--manifests", "manifests", "The folder to watch.", type=FOLDER)
@_option("--tick", "2s", "How often to measure.", type=tick, metavar="DURATION")
@_option("--listen", "127.0.0.1:9464", "Where metrics and the page are, read-only.", metavar="HOST:PORT")
@_option("--workers", 8, "How many sandboxes to work on at once.", type=click.IntRange(1, 64), metavar="N")
@_option("--trash-ttl", "24h", "How long a deleted workspace is kept.", type=duration, metavar="DURATION")
@_option("--log-level", "info", "The least that is logged.", type=click.Choice(_LEVELS))
@_option("--log-format", "auto", "auto: console on a terminal, else json.", type=click.Choice(_FORMATS))
@pass_config
def run_command(config: DaemonConfig) -> int:
    """Watch a folder of manifests and make them real.

    Every option is also a variable (--trash-ttl is SANDKEEPER_TRASH_TTL) and a key of the --config file; an option goes
    before a variable, a variable before the file. Ctrl-C ends the daemon, not the sandboxes; a second one at once.
    """
    from controller.bootstrap import run_daemon  # noqa: PLC0415 - --help needs no engine client

    if sys.stderr.isatty():
        click.echo(_greeting(config), err=True)
    return run_daemon(config)


def _greeting(config: DaemonConfig) -> str:
    facts = {
        "manifests": config.manifests,
        "state": config.state_dir,
        "socket": socket_path(config.state_dir),
        "web": _address(config.listen),
    }
    lines = [click.style(f"sandkeeper {__version__}", bold=True)]
    lines += [f"  {name:<10} {value}" for name, value in facts.items()]
    return "\n".join([*lines, "  Ctrl-C ends the daemon; sandboxes go on"])


def _address(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    if port in ("", "0"):
        return "any free port, see the log" if port else "off"
    return f"http://{host or 'localhost'}:{port}/ and /metrics"
