"""Strict YAML: plain JSON data with the place of every field, from libyaml's events.

Events rather than `compose`: they need no recursion, so that depth, aliases and sizes are refused as they appear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from yaml import events

from controller.model.manifest import Fault, FieldPath
from controller.strict_yaml.scalars import Scalar, Surprise, resolve_plain

MAX_DEPTH: Final = 64
MAX_NODES: Final = 10_000
"""Values of one document, each alias counted as all that it stands for."""
MAX_DOCUMENTS: Final = 2_000
"""Documents of one file."""

Place = tuple[int, int]
"""Line and column, both from 1."""

Resolve = Callable[[str], Scalar | Surprise]
"""What a plain (unquoted) scalar means."""


@dataclass(slots=True)
class Node:
    """One value: where it begins, its data, and the nodes below it by key or index (with each key's own place)."""

    place: Place
    data: Any
    children: dict[str | int, tuple[Place, Node]] = field(default_factory=dict)
    size: int = 1


@dataclass(slots=True)
class YamlDocument:
    """One document of a file: plain JSON data in `root.data`, and the faults that refuse it."""

    root: Node
    faults: list[Fault] = field(default_factory=list)

    def place(self, path: FieldPath) -> Place:
        """Where the value of a field begins; for a field that is not there, the deepest parent's key."""
        node, key_place = self.root, self.root.place
        for part in path:
            if part not in node.children:
                return key_place
            key_place, node = node.children[part]
        return node.place

    def key_place(self, path: FieldPath) -> Place:
        """Where the key of a field is written."""
        parent = self.root
        for part in path[:-1]:
            parent = parent.children[part][1]
        return parent.children[path[-1]][0]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """All documents that could be read, without empty ones. `broken` is the fault at which reading ended, if any."""

    documents: tuple[YamlDocument, ...]
    broken: Fault | None


class _Broken(Exception):  # noqa: N818 - ends the reading of one file, never leaves this module
    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.place, self.message, self.hint = place, message, hint


def read_yaml(text: str, file: str, resolve: Resolve = resolve_plain) -> YamlFile:
    """Read every document of a text; `resolve=str` takes every scalar as text. Never raises on its content."""
    builder = _Builder(file, resolve)
    try:
        for event in _events(text):
            builder.take(event)
    except _Broken as broken:
        return YamlFile(tuple(builder.documents), Fault(file, *broken.place, broken.message, hint=broken.hint))
    return YamlFile(tuple(builder.documents), None)


def _events(text: str) -> Iterator[events.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        problem = exc.problem or "it cannot be read"
        if "nesting depth" in problem:  # libyaml looks up to a thousand brackets ahead before its first event
            raise _too_deep(place) from exc
        raise _Broken(place, f"not valid YAML: {problem}", _syntax_hint(problem)) from exc
    except yaml.reader.ReaderError as exc:
        place = place_of_offset(text, exc.position)
        raise _Broken(place, f"not valid YAML: {exc.reason}", "remove the character, or escape it in quotes") from exc


def _syntax_hint(problem: str) -> str:
    hints = {
        "cannot start any token": "indent with spaces, and quote values that begin with a special character",
        "mapping values are not allowed": "check the indentation, or quote a value that holds ': '",
        "could not find expected ':'": "write the field as 'name: value'",
        "did not find expected key": "check the indentation",
        "unexpected end of stream": "something opened is not closed",
        "did not find expected node content": "something opened is not closed",
    }
    return next((hint for part, hint in hints.items() if part in problem), "")


def place_of_offset(text: str, offset: int) -> Place:
    """Line and column of an offset into a text."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


@dataclass(slots=True)
class _Frame:
    """A collection being read; `key` is the mapping key that waits for its value."""

    node: Node
    key: tuple[str, Place] | None = None


class _Builder:
    """Builds documents from events, one at a time, without recursion."""

    def __init__(self, file: str, resolve: Resolve) -> None:
        self.documents: list[YamlDocument] = []
        self._file = file
        self._resolve = resolve
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._faults: list[Fault] = []
        self._root: Node | None = None

    def take(self, event: events.Event) -> None:
        match event:
            case events.ScalarEvent():
                self._scalar(event)
            case events.MappingStartEvent() | events.SequenceStartEvent():
                self._open(event)
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._close()
            case events.AliasEvent():
                self._alias(event)
            case events.DocumentStartEvent():
                self._begin_document(event)
            case events.DocumentEndEvent():
                self._end_document()

    def _begin_document(self, event: events.DocumentStartEvent) -> None:
        if len(self.documents) >= MAX_DOCUMENTS:
            raise _Broken(_place(event), f"more than {MAX_DOCUMENTS} documents in one file", "use several files")
        self._anchors, self._faults, self._root = {}, [], None

    def _end_document(self) -> None:
        if self._root is not None and (self._root.data is not None or self._faults):
            self.documents.append(YamlDocument(self._root, self._faults))

    def _scalar(self, event: events.ScalarEvent) -> None:
        place = _place(event)
        self._refuse_tag(event, place)
        value: Any = event.value
        if event.implicit[0]:
            value = self._resolve(event.value)
        if isinstance(value, Surprise):
            self._fault(place, value.message, value.hint)
            value = event.value
        if isinstance(value, str) and "\0" in value:
            self._fault(place, "text cannot hold a NUL character")
        if self._awaits_key():
            self._key(event.value, value, event.implicit[0], place)
            return
        self._add(Node(place, value), event.anchor)

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node.data, dict) and self._stack[-1].key is None

    def _key(self, written: str, value: Any, plain: bool, place: Place) -> None:
        if plain and written == "<<":
            self._fault(place, "merge keys are not taken", "write the fields out")
        elif not isinstance(value, str):
            self._fault(place, f"the key {written or 'null'} is not text", f'write "{written}" in quotes')
        frame = self._stack[-1]
        earlier = frame.node.children.get(written)
        if earlier is not None:
            self._fault(place, f"{written} is already set on line {earlier[0][0]}", "keep one of the two")
        frame.key = (written, place)

    def _open(self, event: events.MappingStartEvent | events.SequenceStartEvent) -> None:
        place = _place(event)
        self._refuse_tag(event, place)
        if self._awaits_key():
            raise _Broken(place, "a key cannot be a list or a mapping", "write it as text")
        if len(self._stack) >= MAX_DEPTH:
            raise _too_deep(place)
        node = Node(place, {} if isinstance(event, events.MappingStartEvent) else [])
        self._add(node, event.anchor, opened=True)
        self._stack.append(_Frame(node))

    def _close(self) -> None:
        closed = self._stack.pop().node
        if self._stack:
            self._grow(self._stack[-1].node, closed.size, closed.place)

    def _alias(self, event: events.AliasEvent) -> None:
        place = _place(event)
        if self._awaits_key():
            raise _Broken(place, "a key cannot be an alias", "write it as text")
        target = self._anchors.get(event.anchor or "")
        if target is None:
            raise _Broken(place, f"the alias *{event.anchor} has no anchor &{event.anchor} before it")
        if any(frame.node is target for frame in self._stack):
            raise _Broken(place, f"the alias *{event.anchor} stands inside what it stands for")
        self._add(Node(place, target.data, target.children, target.size), None)

    def _add(self, node: Node, anchor: str | None, opened: bool = False) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        parent = frame.node
        if isinstance(parent.data, list):
            parent.children[len(parent.data)] = (node.place, node)
            parent.data.append(node.data)
        elif frame.key is not None:
            key, key_place = frame.key
            parent.children[key] = (key_place, node)
            parent.data[key] = node.data
            frame.key = None
        if not opened:
            self._grow(parent, node.size, node.place)

    def _grow(self, parent: Node, size: int, place: Place) -> None:
        parent.size += size
        if parent.size > MAX_NODES:
            raise _Broken(place, f"more than {MAX_NODES} values in one document, aliases counted in full")

    def _refuse_tag(self, event: events.NodeEvent, place: Place) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self._fault(place, f"the tag {shown} is not taken", "remove it, and write text in quotes")

    def _fault(self, place: Place, message: str, hint: str = "") -> None:
        self._faults.append(Fault(self._file, *place, message, hint=hint))


def _too_deep(place: Place) -> _Broken:
    return _Broken(place, f"nested more than {MAX_DEPTH} levels deep", "a manifest needs fewer than 10")


def _place(event: events.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
