"""What the directory runtime is told when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DirectoryConfig:
    """`first_uid` and `last_uid` bound the host users that sandboxes get where we are root; `claims_dir` is where all
    daemons of the machine claim theirs.

    `python` is the interpreter of environments; None: the first that a sandbox's user can reach. `log_bytes` is the
    size at which a log is rotated, once. `use_cgroups` False: as on a machine where none can be written.
    Times are seconds: `request_timeout` bounds the supervisor's answers, `install_timeout` an installation.
    """

    state_dir: Path
    instance: str
    first_uid: int = 200_000
    last_uid: int = 265_535
    claims_dir: Path = Path("/run/sandkeeper/users")
    python: str | None = None
    log_bytes: int = 10 << 20
    use_cgroups: bool = True
    request_timeout: float = 10.0
    install_timeout: float = 600.0

    @property
    def directories(self) -> Path:
        """Where the instances are."""
        return self.state_dir / "directories"

    @property
    def run_dir(self) -> Path:
        """Where the supervisor's socket is."""
        return self.state_dir / "run"

    @property
    def package_cache(self) -> Path:
        """Locks, and the packages that they name."""
        return self.state_dir / "cache" / "packages"

    @property
    def uv_cache(self) -> Path:
        """What uv has downloaded."""
        return self.state_dir / "cache" / "uv"
