"""Who owns a name, what is served of a bad file, and what may go: the ledger by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from controller.model.identity import Key
from controller.model.manifest import Document, Fault, Snapshot
from controller.source.documents import FileContent, ManifestText, read_documents
from controller.source.ledger import Ledger, View
from tests.source.helpers import key, manifest, rules

ROOT = Path("/nowhere")


def content(file: str, text: str) -> FileContent:
    return read_documents(ManifestText(text, file, ROOT), rules(ROOT))


class Files:
    """A ledger fed with texts."""

    def __init__(self, baseline: dict[Key, Document] | None = None) -> None:
        self.ledger = Ledger(baseline or {})

    def write(self, file: str, text: str, whole: bool = True) -> Snapshot:
        self.ledger.take(file, None, content(file, text), whole)
        return self.look()

    def remove(self, *files: str) -> Snapshot:
        for file in files:
            self.ledger.drop(file)
        return self.look()

    def look(self, view: View = View()) -> Snapshot:  # noqa: B008 - frozen
        return self.ledger.settle(view)


def names(snapshot: Snapshot) -> dict[str, str]:
    return {key.name: document.file for key, document in snapshot.documents.items()}


def several(*wanted: str) -> str:
    return "---\n".join(manifest(name) for name in wanted)


def test_a_good_file_is_served_and_an_edit_takes_its_place() -> None:
    files = Files()
    first = files.write("a.yaml", manifest("web"))
    second = files.write("a.yaml", manifest("web", "{suspend: {mode: Freeze}}"))
    assert first.documents[key("web")].digest != second.documents[key("web")].digest
    assert second.faults == ()


def test_an_untouched_document_stays_the_same_object() -> None:
    files = Files()
    first = files.write("a.yaml", several("a", "b"))
    second = files.write("a.yaml", several("a", "b") + "# touched\n")
    assert first == second
    assert all(first.documents[one] is second.documents[one] for one in first.documents)


def test_a_bad_edit_keeps_the_last_good_document() -> None:
    files = Files()
    good = files.write("a.yaml", several("a", "b"))
    bad = files.write("a.yaml", "kind: [\n")
    assert bad.documents == good.documents
    assert bad.stale == {key("a"): bad.faults[0], key("b"): bad.faults[0]}
    assert bad.faults[0].line == 2
    assert files.write("a.yaml", several("a", "b")).stale == {}


def test_a_bad_document_is_stale_by_its_own_fault_and_protects_its_file() -> None:
    files = Files()
    files.write("a.yaml", several("a", "b", "c"))
    bad = files.write("a.yaml", manifest("a") + "---\n" + manifest("b", "{nope: 1}"))
    assert set(names(bad)) == {"a", "b", "c"}
    assert {one.name: fault.field for one, fault in bad.stale.items()} == {"b": "spec.nope", "c": "spec.nope"}


def test_a_new_bad_document_is_refused_and_nothing_else() -> None:
    snapshot = Files().write("a.yaml", manifest("a", "{nope: 1}"))
    assert (snapshot.documents, snapshot.stale, len(snapshot.faults)) == ({}, {}, 1)


def test_a_document_missing_from_a_whole_file_goes_and_from_a_half_written_one_stays() -> None:
    files = Files()
    files.write("a.yaml", several("a", "b"))
    assert set(names(files.write("a.yaml", manifest("a"), whole=False))) == {"a", "b"}
    assert files.ledger.files["a.yaml"].waiting
    assert set(names(files.write("a.yaml", manifest("a")))) == {"a"}


def test_a_file_that_declares_nothing_any_more_keeps_what_it_declared() -> None:
    files = Files()
    good = files.write("a.yaml", manifest("a"))
    for text in ("", "# modeline only\n", "---\n"):
        emptied = files.write("a.yaml", text)
        assert emptied.documents == good.documents
        assert str(emptied.stale[key("a")]).endswith("(to remove it, delete the file)")
    assert files.remove("a.yaml").documents == {}


def test_what_an_emptied_file_declared_can_move_to_another() -> None:
    files = Files()
    files.write("a.yaml", manifest("web"))
    files.write("a.yaml", "")
    moved = files.write("b.yaml", manifest("web"))
    assert (names(moved), moved.faults, moved.stale) == ({"web": "b.yaml"}, (), {})


def test_the_present_owner_keeps_a_duplicated_name() -> None:
    files = Files()
    files.write("b.yaml", "# first\n" + manifest("web"))
    duplicated = files.write("a.yaml", manifest("web", "{suspend: {mode: Freeze}}"))
    assert names(duplicated) == {"web": "b.yaml"}
    assert [str(fault) for fault in duplicated.faults] == [
        "a.yaml:4:9: metadata.name: sandbox default/web is already declared in b.yaml:2 "
        "(rename one of the two, or remove one)"
    ]


def test_the_owner_keeps_its_name_while_its_file_is_broken() -> None:
    files = Files()
    files.write("b.yaml", manifest("web"))
    files.write("a.yaml", manifest("web", "{suspend: {mode: Freeze}}"))
    broken = files.write("b.yaml", "kind: [\n")
    assert names(broken) == {"web": "b.yaml"}
    assert set(broken.stale) == {key("web")}


def test_when_the_owner_goes_the_other_takes_over() -> None:
    files = Files()
    files.write("b.yaml", manifest("web"))
    files.write("a.yaml", manifest("web"))
    after = files.remove("b.yaml")
    assert (names(after), after.faults) == ({"web": "a.yaml"}, ())


def test_a_renamed_file_is_no_duplicate_while_its_old_name_is_not_yet_confirmed_gone() -> None:
    files = Files()
    files.write("a.yaml", manifest("web"))
    files.ledger.take("b.yaml", None, content("b.yaml", manifest("web")), True)
    between = files.look(View(["a.yaml"], undecided=True))
    assert (names(between), between.faults) == ({"web": "a.yaml"}, ())
    after = files.remove("a.yaml")
    assert (names(after), after.faults) == ({"web": "b.yaml"}, ())


def test_nothing_is_judged_while_absence_is_not_confirmed() -> None:
    files = Files()
    files.write("a.yaml", several("a", "b", "c", "d", "e"))
    files.ledger.take("a.yaml", None, content("a.yaml", manifest("a")), True)
    assert len(files.look(View(["z.yaml"], undecided=True)).documents) == 5
    assert len(files.look().documents) == 5
    block = files.look().prune
    assert block is not None
    assert {one.name for one in block.keys} == {"b", "c", "d", "e"}


def test_the_baseline_is_served_until_its_files_are_known() -> None:
    before = Files().write("a.yaml", manifest("web")).documents
    files = Files(dict(before))
    assert files.look().documents == before
    assert set(files.write("a.yaml", "kind: [\n").stale) == {key("web")}
    assert files.remove("a.yaml").documents == {}


def test_the_baselines_owner_keeps_a_duplicated_name_over_a_restart() -> None:
    before = Files().write("b.yaml", manifest("web")).documents
    files = Files(dict(before))
    files.ledger.take("a.yaml", None, content("a.yaml", manifest("web")), False)
    files.ledger.take("b.yaml", None, content("b.yaml", manifest("web")), False)
    assert names(files.look()) == {"web": "b.yaml"}


def test_a_missing_root_blocks_everything_and_a_confirmation_releases_it() -> None:
    files = Files()
    good = files.write("a.yaml", several("a", "b"))
    fault = Fault("/nowhere", 1, 1, "the watched folder is missing")
    lost = files.look(View(faults=(fault,), root_error="the watched folder is missing"))
    assert lost.documents == good.documents
    assert lost.prune is not None
    assert (lost.prune.keys, lost.prune.reason) == (frozenset(good.documents), "the watched folder is missing")
    files.ledger.release(lost.prune)
    assert files.look(View(root_error="the watched folder is missing")).documents == {}
    assert files.ledger.files["a.yaml"].stamp is None  # to be read again, should it come back


def test_what_was_released_with_its_root_is_taken_up_again_duplicates_and_all() -> None:
    files = Files()
    files.write("a.yaml", manifest("web"))
    files.write("b.yaml", manifest("web"))
    lost = files.look(View(root_error="the watched folder is missing"))
    assert lost.prune is not None
    files.ledger.release(lost.prune)
    assert (files.look().documents, files.look().faults) == ({}, ())
    assert names(files.write("b.yaml", manifest("web"))) == {"web": "b.yaml"}


def test_a_blocked_set_is_released_exactly() -> None:
    files = Files()
    for name in "abcdefg":
        files.write(f"{name}.yaml", manifest(name))
    blocked = files.remove("a.yaml", "b.yaml", "c.yaml", "d.yaml")
    assert len(blocked.documents) == 7
    assert blocked.prune is not None
    files.ledger.release(blocked.prune)
    after = files.look()
    assert (set(names(after)), after.prune) == ({"e", "f", "g"}, None)


def test_a_document_that_moves_into_a_file_where_it_is_refused_is_kept() -> None:
    files = Files()
    good = files.write("a.yaml", manifest("web"))
    files.ledger.take("b.yaml", None, content("b.yaml", manifest("web", "{nope: 1}")), True)
    moved = files.remove("a.yaml")
    assert moved.documents == good.documents
    assert moved.stale[key("web")].file == "b.yaml"


def test_no_prefix_of_a_manifest_takes_its_sandbox_away() -> None:
    text = manifest("web", "\n  isolation: directory\n  command: [sh, -c, 'sleep 1']\n  ttl: 8h")
    files = Files()
    good = files.write("a.yaml", text)
    for length in range(len(text)):
        cut = files.write("a.yaml", text[:length])
        assert set(cut.documents) == set(good.documents), text[:length]


def test_a_line_that_moved_is_told_with_the_document() -> None:
    files = Files()
    first = files.write("a.yaml", manifest("web")).documents[key("web")]
    second = files.write("a.yaml", "# one line more\n" + manifest("web")).documents[key("web")]
    assert second == replace(first, line=2)
