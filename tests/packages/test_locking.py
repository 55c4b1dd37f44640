"""Requirements are resolved once for each target, to versions and the hashes of their files."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.model.errors import ConflictError, EnvironmentFailedError
from controller.runtime.packages.cache import PackageCache
from controller.runtime.packages.target import PythonTarget
from controller.runtime.packages.uv import UvRunner
from tests.support.wheels import wheel

TARGET = PythonTarget("3.12.3", "x86_64-manylinux_2_36")
MUSL = PythonTarget("3.12.3", "x86_64-unknown-linux-musl")


def test_a_lock_has_versions_and_the_hashes_of_their_files(cache: PackageCache, wheels: Path, job: Path) -> None:
    lock = cache.lock(["greeting<2"], TARGET, job)
    assert lock.packages == ("greeting==1.0",)
    content = (wheels / "greeting-1.0-py3-none-any.whl").read_bytes()
    assert f"--hash=sha256:{hashlib.sha256(content).hexdigest()}" in lock.text


def test_a_lock_stays_until_it_is_made_anew(cache: PackageCache, wheels: Path, job: Path) -> None:
    first = cache.lock(["greeting"], TARGET, job)
    wheel(wheels, "greeting", "3.0")
    assert cache.lock(["greeting"], TARGET, job) == first
    assert cache.known(["greeting"], TARGET) == first
    anew = cache.lock(["greeting"], TARGET, job, anew=True)
    assert anew.packages == ("greeting==3.0",)
    assert cache.known(["greeting"], TARGET) == anew


def test_a_lock_that_a_crash_has_emptied_is_made_again(
    cache: PackageCache, wheels: Path, job: Path, tmp_path: Path
) -> None:
    first = cache.lock(["greeting"], TARGET, job)
    (kept,) = (tmp_path / "packages" / "locks").iterdir()
    kept.write_bytes(b"")
    assert cache.lock(["greeting"], TARGET, job) == first


def test_the_digest_is_that_of_the_packages_and_the_target(cache: PackageCache, wheels: Path, job: Path) -> None:
    same, also = cache.lock(["greeting"], TARGET, job), cache.lock(["greeting>=2"], TARGET, job)
    assert same.digest == also.digest
    digests = {same.digest, cache.lock(["greeting<2"], TARGET, job).digest, cache.lock(["greeting"], MUSL, job).digest}
    assert len(digests) == 3


def test_the_wheels_are_those_of_the_target_and_not_of_this_machine(
    cache: PackageCache, wheels: Path, job: Path
) -> None:
    wheel(wheels, "native", "1.0", tag="cp312-cp312-musllinux_1_1_x86_64")
    assert cache.lock(["native"], MUSL, job).packages == ("native==1.0",)
    with pytest.raises(EnvironmentFailedError, match=r"(?s)no wheels with a matching.*correct spec.packages"):
        cache.lock(["native"], TARGET, job)


def test_a_package_that_does_not_exist_is_said_in_uvs_words(cache: PackageCache, wheels: Path, job: Path) -> None:
    with pytest.raises(EnvironmentFailedError, match=r"no-such-package(.|\n)*correct spec.packages"):
        cache.lock(["no-such-package"], TARGET, job)
    assert cache.known(["no-such-package"], TARGET) is None


@pytest.mark.parametrize(
    "settings", [{"UV_OFFLINE": "1"}, {"UV_INDEX_URL": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}]
)
def test_an_index_that_cannot_be_reached_is_said(
    cache: PackageCache, job: Path, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentFailedError, match="see that the package index can be reached"):
        cache.lock(["greeting"], TARGET, job)


def test_no_variable_of_the_daemons_is_sent_to_whom_a_requirement_names(cache: PackageCache, job: Path) -> None:
    with pytest.raises(EnvironmentFailedError, match="variables are not filled in"):
        cache.lock(["greeting @ http://127.0.0.1:9/${HOME}/greeting.whl"], TARGET, job)


@pytest.fixture
def asked_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A package index that takes requests and answers none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("UV_INDEX_URL", f"http://127.0.0.1:{listener.getsockname()[1]}/simple")
        yield listener


def test_a_job_that_is_given_up_ends_while_the_index_is_silent(
    cache: PackageCache, uv: UvRunner, job: Path, asked_index: socket.socket
) -> None:
    failures: list[Exception] = []

    def lock() -> None:
        try:
            cache.lock(["greeting"], TARGET, job)
        except ConflictError as exc:
            failures.append(exc)

    thread = threading.Thread(target=lock)
    thread.start()
    asked_index.accept()[0].close()
    uv.give_up(job.name)
    thread.join(10)
    assert [str(failure) for failure in failures] == ["nobody wanted it any more: look again"]


def test_an_index_that_never_answers_is_waited_for_no_longer_than_said(
    tmp_path: Path, job: Path, asked_index: socket.socket
) -> None:
    impatient = PackageCache(tmp_path / "packages", UvRunner(tmp_path / "uv", timeout=0.2))
    with pytest.raises(EnvironmentFailedError, match=r"did not end within 0\.2 s: can the package index be reached"):
        impatient.lock(["greeting"], TARGET, job)
