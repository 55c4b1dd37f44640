"""Strict YAML: plain JSON data, the place of every field, and refusals that say what to write instead."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.strict_yaml.reader import MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES, YamlFile, read_yaml


def read(text: str) -> YamlFile:
    return read_yaml(text, "x.yaml")


def only_fault(text: str) -> str:
    """The one fault of a text, wherever it is kept."""
    result = read(text)
    faults = [fault for document in result.documents for fault in document.faults]
    faults += [result.broken] if result.broken is not None else []
    assert len(faults) == 1, faults
    return str(faults[0])


def test_documents_are_plain_json_data_and_empty_ones_are_skipped() -> None:
    result = read("---\n---\na: 1\nb: [x, 1.5, true, null, ~, '', \"q\"]\n---\n# nothing\n---\n- c\n")
    assert [document.root.data for document in result.documents] == [
        {"a": 1, "b": ["x", 1.5, True, None, None, "", "q"]},
        ["c"],
    ]
    assert result.broken is None


def test_every_field_knows_its_place() -> None:
    document = read("spec:\n  env:\n    - name: A\n      value: {x: y}\n").documents[0]
    assert document.place(("spec", "env", 0, "value", "x")) == (4, 18)
    assert document.key_place(("spec", "env", 0, "value")) == (4, 7)
    assert document.place(("spec", "env", 0, "absent", "below")) == (3, 7)


def test_every_scalar_is_text_where_a_reader_wants_that() -> None:
    document = read_yaml("a: no\nb: 1.0\nc: 22:30\nd:\n1: ~\n", "x.yaml", resolve=str).documents[0]
    assert document.root.data == {"a": "no", "b": "1.0", "c": "22:30", "d": "", "1": "~"}
    assert document.faults == []


@pytest.mark.parametrize("word", ["yes", "No", "ON", "off", "True", "FALSE"])
def test_only_true_and_false_are_booleans(word: str) -> None:
    assert "in quotes" in only_fault(f"a: {word}")
    assert read(f'a: "{word}"').documents[0].root.data == {"a": word}


@pytest.mark.parametrize(
    "number", ["22:30", "1:30:00", "190:20:30.15", "0755", "0x1F", "0b11", "0o17", "1_000", ".inf"]
)
def test_numbers_that_readers_disagree_on_are_refused(number: str) -> None:
    assert only_fault(f"at: {number}").startswith(f"x.yaml:1:5: {number} is ")
    assert read(f"at: '{number}'").documents[0].root.data == {"at": number}


@pytest.mark.parametrize(
    "text", ["10001:10001", "2026-11-23", "2026-11-23T10:00:00Z", "python:3.11-slim", "1.2.3", "-"]
)
def test_what_only_looks_like_a_number_is_text(text: str) -> None:
    assert read(f"[{text}]" if text != "-" else '["-"]').documents[0].root.data == [text]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: a is already set on line 1 (keep one of the two)"),
        ("x: &a {b: 1}\ny:\n  <<: *a\n", "x.yaml:3:3: merge keys are not taken (write the fields out)"),
        ("1: a\n", 'x.yaml:1:1: the key 1 is not text (write "1" in quotes)'),
        ("a: !!str 1\n", "x.yaml:1:4: the tag !!str is not taken (remove it, and write text in quotes)"),
        ("a: !!python/object/apply:os.system [ls]\n", "x.yaml:1:4: the tag !!python/object/apply:os.system is not"),
        ('a: "b\\0"\n', "x.yaml:1:4: text cannot hold a NUL character"),
        ("a: b\n\tc: d\n", "x.yaml:2:1: not valid YAML"),
        ("a: [1, 2\n", "x.yaml:2:1: not valid YAML"),
        ("a: b: c\n", "x.yaml:1:5: not valid YAML: mapping values are not allowed in this context (check"),
        ("a: \x07\n", "x.yaml:1:4: not valid YAML: control characters are not allowed"),
        ("? [a]\n: b\n", "x.yaml:1:3: a key cannot be a list or a mapping (write it as text)"),
        ("a: *b\n", "x.yaml:1:4: the alias *b has no anchor &b before it"),
        ("a: &b [*b]\n", "x.yaml:1:8: the alias *b stands inside what it stands for"),
        (f"a: {'9' * 400}\n", "x.yaml:1:4: the number is too large"),
        ("a: 1e999\n", "x.yaml:1:4: the number is too large"),
    ],
)
def test_a_fault_has_its_place_and_says_what_is_right(text: str, fault: str) -> None:
    assert only_fault(text).startswith(fault)


def test_simple_aliases_stand_for_their_anchors() -> None:
    document = read("a: &env [{name: A}]\nb: *env\n").documents[0]
    assert document.root.data == {"a": [{"name": "A"}], "b": [{"name": "A"}]}
    assert document.place(("b", 0, "name")) == (1, 17)


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_bomb(), f"more than {MAX_NODES} values"),
        ("- a\n" * 250_000, f"more than {MAX_NODES} values"),
        ("[" * 1_000_000, f"nested more than {MAX_DEPTH} levels"),
        ("{a: " * 250_000, f"nested more than {MAX_DEPTH} levels"),
        ("- " * 500_000, f"nested more than {MAX_DEPTH} levels"),
        ("--- a\n" * 170_000, f"more than {MAX_DOCUMENTS} documents"),
    ],
    ids=["aliases", "long", "flow", "mappings", "block", "documents"],
)
def test_a_text_that_explodes_is_refused_at_once(text: str, reason: str) -> None:
    began = time.process_time()
    result = read(text)
    assert result.broken is not None
    assert reason in result.broken.message
    assert time.process_time() - began < 1.0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text('aé日 :#-"\\\n\t0', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcnoyesff<~0123:", max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_JSON)
def test_json_reads_as_itself(value: object) -> None:
    text = json.dumps({"value": value}, ensure_ascii=False)
    result = read(text)
    assert (result.broken, result.documents[0].faults) == (None, [])
    assert result.documents[0].root.data == {"value": value}


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(" \n\tabn:-[]{}*&!|>'\"#%?,0159.~\\"), max_size=40))
def test_any_text_is_refused_or_read_as_yaml_reads_it(text: str) -> None:
    result = read(text)
    if result.broken is None and not any(document.faults for document in result.documents):
        as_yaml = [found for found in yaml.load_all(text, Loader=yaml.CSafeLoader) if found is not None]
        assert [document.root.data for document in result.documents] == as_yaml
