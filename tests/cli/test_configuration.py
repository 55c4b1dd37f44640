"""Where the daemon's settings come from: an option over a variable over the file over the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from controller import bootstrap
from controller.cli.main import cli
from controller.cli.run import _greeting
from controller.config import DaemonConfig
from controller.model.cleanup import CleanupPolicy


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[DaemonConfig]:
    """The configurations that daemons were started with; none is started."""
    configs: list[DaemonConfig] = []

    def start(config: DaemonConfig) -> int:
        configs.append(config)
        return 0

    monkeypatch.setattr(bootstrap, "run_daemon", start)
    return configs


def run(*arguments: str) -> Result:
    """`sandkeeper run`."""
    return CliRunner().invoke(cli, ["run", *arguments], prog_name="sandkeeper")


def written(folder: Path, text: str) -> str:
    """A configuration file."""
    file = folder / "sandkeeper.toml"
    file.write_text(text)
    return str(file)


def test_without_settings_all_is_default(started: list[DaemonConfig]) -> None:
    """As DaemonConfig has it: the command line adds none of its own."""
    assert run().exit_code == 0
    assert started == [DaemonConfig()]


def test_every_option_is_a_setting(started: list[DaemonConfig]) -> None:
    """By its own name, in its own unit."""
    arguments = {
        "--manifests": "/m",
        "--state-dir": "/s",
        "--listen": "127.0.0.1:0",
        "--tick": "1m30s",
        "--workers": "7",
        "--instance": "one",
        "--allow-path": "/a",
        "--secrets-dir": "/x",
        "--trash-ttl": "2h",
        "--engine": "unix:///run/e.sock",
        "--log-level": "debug",
        "--log-format": "json",
    }
    run(*(word for pair in arguments.items() for word in pair), "--allow-path", "/b")
    assert started == [
        DaemonConfig(
            manifests=Path("/m"),
            state_dir=Path("/s"),
            listen="127.0.0.1:0",
            tick=90.0,
            workers=7,
            instance="one",
            allow_paths=(Path("/a"), Path("/b")),
            secrets_dir=Path("/x"),
            trash_ttl=7200.0,
            engine="unix:///run/e.sock",
            log_level="debug",
            log_format="json",
        )
    ]


def test_an_option_goes_before_a_variable_before_the_file(
    started: list[DaemonConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each settles what the ones before it left open."""
    file = written(tmp_path, 'tick = "3s"\nworkers = 3\nlisten = "127.0.0.1:3"\ntrash-ttl = 3')
    monkeypatch.setenv("SANDKEEPER_CONFIG", file)
    monkeypatch.setenv("SANDKEEPER_WORKERS", "2")
    monkeypatch.setenv("SANDKEEPER_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("SANDKEEPER_ALLOW_PATH", "/a:/b")
    run("--listen", "127.0.0.1:1")
    assert started == [
        DaemonConfig(listen="127.0.0.1:1", workers=2, tick=3.0, trash_ttl=3.0, allow_paths=(Path("/a"), Path("/b")))
    ]


def test_paths_in_the_file_are_meant_from_where_it_is(started: list[DaemonConfig], tmp_path: Path) -> None:
    """Wherever the daemon is started."""
    file = written(tmp_path, 'manifests = "m"\nallow-path = ["a", "/b"]\nstate-dir = "../s"\nsecrets-dir = "x"')
    run("--config", file)
    (config,) = started
    assert config.manifests == tmp_path / "m"
    assert config.allow_paths == (tmp_path / "a", Path("/b"))
    assert config.state_dir == tmp_path / "../s"
    assert config.secrets_dir == tmp_path / "x"


def test_the_file_says_what_manifests_leave_out(started: list[DaemonConfig], tmp_path: Path) -> None:
    """In a manifest's own shape."""
    run("--config", written(tmp_path, '[defaults]\nimage = "busybox"\nresources.limits.memory = "64Mi"'))
    (config,) = started
    assert config.defaults == {"image": "busybox", "resources": {"limits": {"memory": "64Mi"}}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tik = 2", "unknown key 'tik'; did you mean tick?"),
        ("state_dir = '/s'", "unknown key 'state_dir'; did you mean state-dir?"),
        ("nonsense = 1", "unknown key 'nonsense'; known are allow-path,"),
        ("defaults = 1", "defaults is a table: [defaults]"),
        ("[defaults]\nimge = 'x'", "defaults.imge"),
        ("[defaults.resources.limits]\nmemory = 'lots'", "defaults.resources.limits.memory"),
        ("[defaults]\nisolation = 'directory'\nworkingDir = '/etc'", "defaults.workingDir: /etc lies outside"),
        ("tick = ", "cannot be read as configuration"),
        ("tick = 'soon'", "'soon' is not a duration"),
        ("workers = 0", "--workers"),
        ("log-level = 'loud'", "--log-level"),
    ],
)
def test_a_wrong_file_is_refused_by_name(started: list[DaemonConfig], tmp_path: Path, text: str, named: str) -> None:
    """Exit 64: the daemon does not start half configured."""
    result = run("--config", written(tmp_path, text))
    assert (result.exit_code, started) == (64, [])
    assert named in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_that_is_not_there_is_refused(started: list[DaemonConfig], tmp_path: Path) -> None:
    """It was meant to be read."""
    result = run("--config", str(tmp_path / "none.toml"))
    assert (result.exit_code, started) == (64, [])


def test_the_daemons_exit_status_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As run_daemon gives it."""
    monkeypatch.setattr(bootstrap, "run_daemon", lambda _: 7)
    assert run().exit_code == 7


@pytest.mark.parametrize(
    ("environment", "home"),
    [({}, ".local/state/sandkeeper"), ({"XDG_STATE_HOME": "relative"}, ".local/state/sandkeeper")],
)
def test_the_default_state_folder_of_an_ordinary_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, Any], home: str
) -> None:
    """XDG's, which ignores a relative value."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert DaemonConfig().state_dir == tmp_path / home
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert DaemonConfig().state_dir == tmp_path / "xdg/sandkeeper"


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("127.0.0.1:9464", "http://127.0.0.1:9464/ and /metrics"),
        (":9464", "http://localhost:9464/ and /metrics"),
        ("127.0.0.1:0", "any free port, see the log"),
        ("", "off"),
    ],
)
def test_the_greeting_says_where_the_page_is(listen: str, told: str) -> None:
    """As an address that a browser takes, where it is known."""
    assert f"web        {told}" in _greeting(DaemonConfig(listen=listen)).splitlines()[4]


def test_what_is_cleaned_up_is_said_in_the_file(started: list[DaemonConfig], tmp_path: Path) -> None:
    """Each rule by itself; what is not named stays off."""
    text = '[cleanup]\nunused-for = "30d"\nimages-max-size = "20Gi"\nworkspaces-after = "90d"\n'
    assert run("--config", written(tmp_path, text)).exit_code == 0
    assert started[0].cleanup == CleanupPolicy(30 * 86400.0, 20 << 30, 90 * 86400.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('cleanup = "30d"', "cleanup is a table"),
        ('[cleanup]\nunused = "30d"', "unknown key cleanup.unused"),
        ('[cleanup]\nunused-for = "soon"', "cleanup.unused-for"),
        ("[cleanup]\nunused-for = 30", "cleanup.unused-for"),
        ('[cleanup]\nimages-max-size = "much"', "cleanup.images-max-size"),
    ],
)
def test_a_cleanup_that_cannot_be_meant_is_refused(
    started: list[DaemonConfig], tmp_path: Path, text: str, why: str
) -> None:
    """With the file and the key."""
    ended = run("--config", written(tmp_path, text))
    assert (ended.exit_code, started) == (64, [])
    assert why in ended.stderr
