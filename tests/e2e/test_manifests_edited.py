"""What people do to the files, and what becomes of the sandboxes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e.daemon import RunningDaemon
from tests.e2e.directories import is_blocked, manifest, uid_of, workspace_of

WRONG = """\
apiVersion: sandkeeper.dev/v1alpha1
kind: Sandbox
metadata: {name: web}
spec:
  isolation: directory
  imagee: x
"""


def test_a_sandbox_keeps_its_uid_over_edits_and_renames_of_its_file(engineless: RunningDaemon) -> None:
    path = engineless.write("web.yaml", manifest("web"))
    engineless.wait_ready("web")
    uid = uid_of(engineless, "web")
    (workspace_of(engineless, "web") / "kept").touch()
    engineless.write("web.yaml", manifest("web", env=[{"name": "A", "value": "1"}]))
    engineless.until(lambda: engineless.sandbox("web")["metadata"]["generation"] == 2, "the edit is seen")
    engineless.wait_ready("web")
    (engineless.manifests / "team").mkdir()
    path.rename(engineless.manifests / "team" / "other.yml")
    engineless.until(lambda: engineless.status("web")["origin"] == "team/other.yml:1", "the rename is seen")
    assert uid_of(engineless, "web") == uid
    assert engineless.sandbox("web")["metadata"]["generation"] == 2
    assert (workspace_of(engineless, "web") / "kept").exists()


def test_a_document_removed_from_its_file_takes_only_its_sandbox(engineless: RunningDaemon) -> None:
    engineless.write("both.yaml", f"{manifest('one')}\n---\n{manifest('two')}\n")
    engineless.wait_ready("one", "two")
    uids = [uid_of(engineless, name) for name in ("one", "two")]
    engineless.write("both.yaml", manifest("two"))
    engineless.wait_gone("one")
    assert uid_of(engineless, "two") == uids[1]
    engineless.write("both.yaml", f"{manifest('one')}\n---\n{manifest('two')}\n")
    engineless.wait_ready("one")
    assert uid_of(engineless, "one") != uids[0], "a new sandbox after a completed delete"


def test_a_bad_edit_keeps_the_last_good_version_and_says_where(engineless: RunningDaemon) -> None:
    engineless.write("web.yaml", manifest("web"))
    engineless.wait_ready("web")
    generation = engineless.sandbox("web")["metadata"]["generation"]
    engineless.write("web.yaml", WRONG)
    engineless.wait_condition("web", "Accepted", "False")
    accepted = engineless.condition("web", "Accepted")
    assert "web.yaml:6:3" in accepted["message"]
    assert "imagee" in accepted["message"]
    assert engineless.condition("web", "Ready")["status"] == "True"
    assert engineless.sandbox("web")["metadata"]["generation"] == generation
    for verb in (("get",), ("describe", "web")):
        done = engineless.cli(*verb)
        assert "web.yaml:6:3" in done.stdout + done.stderr, verb
    assert 'sandkeeper_manifests{state="stale"} 1.0' in engineless.metrics()
    engineless.kill()
    engineless.start()
    engineless.wait_condition("web", "Accepted", "False")
    assert engineless.condition("web", "Ready")["status"] == "True", "also over a restart"
    engineless.write("web.yaml", manifest("web"))
    engineless.wait_condition("web", "Accepted", "True")
    assert engineless.sandbox("web")["metadata"]["generation"] == generation


def test_a_second_file_of_the_same_name_is_refused_and_takes_over_only_once_the_first_is_gone(
    engineless: RunningDaemon,
) -> None:
    engineless.write("web.yaml", manifest("web"))
    engineless.wait_ready("web")
    uid = uid_of(engineless, "web")
    engineless.write("a-earlier-name.yaml", manifest("web", env=[{"name": "A", "value": "1"}]))

    def faults() -> list[str]:
        found: list[str] = engineless.call("GET", "/api/v1/daemon")["faults"]
        return found

    engineless.until(lambda: any("a-earlier-name.yaml" in fault for fault in faults()), "the second is refused")
    assert any("web.yaml" in fault for fault in faults()), "the owner is named"
    assert engineless.status("web")["origin"] == "web.yaml:1"
    assert engineless.sandbox("web")["metadata"]["generation"] == 1
    engineless.kill()
    engineless.start()
    assert engineless.status("web")["origin"] == "web.yaml:1", "also over a restart"
    engineless.undeclare("web")
    engineless.until(lambda: engineless.status("web")["origin"] == "a-earlier-name.yaml:1", "the other takes over")
    assert uid_of(engineless, "web") == uid
    engineless.until(lambda: not faults(), "nothing is refused any more")


def test_a_removed_sandbox_can_be_restored_with_its_files(engineless: RunningDaemon) -> None:
    engineless.write("web.yaml", manifest("web"))
    engineless.wait_ready("web")
    uid = uid_of(engineless, "web")
    (workspace_of(engineless, "web") / "kept").write_text("work")
    engineless.undeclare("web")
    engineless.wait_gone("web")
    text = engineless.cli("restore", "web").stdout
    engineless.write("web.yaml", text)
    engineless.wait_ready("web")
    assert uid_of(engineless, "web") == uid
    assert (workspace_of(engineless, "web") / "kept").read_text() == "work"


def git(folder: Path, *arguments: str) -> None:
    identity = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env=environment)


def test_another_branch_of_200_files_converges(engineless: RunningDaemon) -> None:
    """A third of the files change, a third go and others come; each is idle, so that 200 are cheap."""
    root = engineless.manifests
    git(root, "init", "--quiet", "--initial-branch=main")
    for number in range(200):
        (root / f"s{number}.yaml").write_text(manifest(f"s{number}"))
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "one")
    git(root, "checkout", "--quiet", "-b", "other")
    for number in range(80):
        (root / f"s{number}.yaml").unlink()
        (root / f"t{number}.yaml").write_text(manifest(f"t{number}"))
    for number in range(80, 140):
        (root / f"s{number}.yaml").write_text(manifest(f"s{number}", resources={"limits": {"pids": 64}}))
    git(root, "add", "--all", ".")
    git(root, "commit", "--quiet", "-m", "two")
    git(root, "checkout", "--quiet", "main")
    engineless.until(lambda: ready(engineless) == {f"s{number}" for number in range(200)}, "main is there", 60)
    git(root, "checkout", "--quiet", "other")
    wanted = {f"s{number}" for number in range(80, 200)} | {f"t{number}" for number in range(80)}
    engineless.until(lambda: ready(engineless) == wanted, "the other branch is there", 60)
    items = engineless.sandboxes()
    assert set(items) == wanted
    assert {items[f"s{number}"]["spec"]["resources"]["limits"]["pids"] for number in range(80, 140)} == {64}
    git(root, "checkout", "--quiet", "main")
    engineless.until(
        lambda: set(engineless.sandboxes()) == ready(engineless) == {f"s{n}" for n in range(200)}, "and back", 60
    )


def ready(daemon: RunningDaemon) -> set[str]:
    items = daemon.sandboxes().items()
    return {
        name
        for name, item in items
        for condition in item["status"]["conditions"]
        if (condition["type"], condition["status"]) == ("Ready", "True")
    }


def test_a_root_that_is_removed_and_made_again_heals(engineless: RunningDaemon) -> None:
    for name in ("one", "two"):
        engineless.write(f"{name}.yaml", manifest(name))
    engineless.wait_ready("one", "two")
    uids = {name: uid_of(engineless, name) for name in ("one", "two")}
    shutil.rmtree(engineless.manifests)
    engineless.until(lambda: is_blocked(engineless), "the removal is held back")
    assert ready(engineless) == {"one", "two"}
    engineless.manifests.mkdir()
    for name in ("one", "two", "three"):
        engineless.write(f"{name}.yaml", manifest(name))
    engineless.wait_ready("three")
    engineless.until(lambda: not is_blocked(engineless), "nothing is held back any more")
    assert {name: uid_of(engineless, name) for name in ("one", "two")} == uids
    engineless.write("four.yaml", manifest("four"))
    engineless.wait_ready("four")
    engineless.undeclare("four")
    engineless.wait_gone("four")
