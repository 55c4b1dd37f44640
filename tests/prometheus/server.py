"""A Prometheus of the tests' own, with the rules and the configuration that sandkeeper ships."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import httpx
import pytest

ROOT: Final = Path(__file__).parents[2]
SCRAPE_SECONDS: Final = 0.25

T = TypeVar("T")
Sample = Mapping[str, Any]


def need(program: str) -> str:
    """The path of a program; the test is skipped without it, or fails where REQUIRE_ENGINE=1 forbids skipping."""
    found = shutil.which(program)
    if found is not None:
        return found
    lack = f"{program} is not installed (Debian: prometheus)"
    if os.environ.get("REQUIRE_ENGINE") == "1":
        pytest.fail(f"REQUIRE_ENGINE=1, but {lack}", pytrace=False)
    pytest.skip(lack)


def eventually(look: Callable[[], T], wanted: Callable[[T], bool] = bool, seconds: float = 20.0) -> T:
    """What `look` gives once it is as wanted; what it gave last where that never comes."""
    deadline = time.monotonic() + seconds
    while not wanted(found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


class PrometheusServer:
    """Runs from `with` to its end in a folder. It scrapes the targets (host:port) as the job `sandkeeper`."""

    def __init__(self, folder: Path, targets: Sequence[str]) -> None:
        self._folder = folder
        self._targets = targets
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(timeout=10)
        self.url = ""

    def __enter__(self) -> PrometheusServer:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{address}"
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    need("prometheus"),
                    f"--config.file={self._configure()}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={address}",
                    "--log.level=warn",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        assert eventually(self._is_ready), (self._folder / "prometheus.log").read_text()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._client.close()

    def query(self, expression: str) -> list[Sample]:
        """The instant vector of a PromQL expression, `[{"metric": {...}, "value": [at, text]}]`."""
        result: list[Sample] = self._get("/api/v1/query", {"query": expression})["result"]
        return result

    def value(self, expression: str) -> float | None:
        """The one value of an expression, or None where it has none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def label_values(self, label: str, selector: str) -> list[str]:
        """The values of a label among the series that match."""
        found: list[str] = self._get(f"/api/v1/label/{label}/values", {"match[]": selector})
        return found

    def rules(self) -> list[Sample]:
        """Every rule that is loaded, with its health."""
        return [rule for group in self._get("/api/v1/rules", {})["groups"] for rule in group["rules"]]

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:
        answer = self._client.get(self.url + path, params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return answer.json()["data"]

    def _is_ready(self) -> bool:
        try:
            return self._client.get(f"{self.url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def _configure(self) -> Path:
        """The shipped configuration with these targets, and intervals that tests can wait for."""
        shipped = ROOT / "deploy" / "prometheus"
        text = (shipped / "prometheus.yml").read_text()
        for former, present in (
            ("[127.0.0.1:9464]", json.dumps(list(self._targets))),
            ("scrape_interval: 15s", f"scrape_interval: {SCRAPE_SECONDS * 1000:.0f}ms"),
            ("evaluation_interval: 15s", f"evaluation_interval: {SCRAPE_SECONDS * 1000:.0f}ms"),
            ("- rules.yaml", f"- {shipped / 'rules.yaml'}"),
        ):
            assert former in text
            text = text.replace(former, present)
        path = self._folder / "prometheus.yml"
        path.write_text(text)
        return path
