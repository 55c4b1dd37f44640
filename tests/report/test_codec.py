"""Model values as JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum

import pytest

from controller.model.errors import StateError
from controller.model.identity import Key
from controller.model.observed import Capabilities
from controller.model.record import Record
from controller.model.status import SandboxStatus
from controller.report.codec import decode, encode
from tests.report.values import WEB, record, status


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Node:
    key: Key
    colour: Colour | None = None
    ratio: float = 1.0
    children: tuple[Node, ...] = ()
    sizes: dict[str, int] = field(default_factory=dict)


def through_json(value: object) -> object:
    return json.loads(json.dumps(encode(value)))


def test_a_record_survives_the_round_trip() -> None:
    assert decode(Record, through_json(record())) == record()


def test_a_status_survives_the_round_trip() -> None:
    assert decode(SandboxStatus, through_json(status())) == status()


def test_nested_and_recursive_values_survive_the_round_trip() -> None:
    node = Node(WEB, Colour.RED, children=(Node(WEB, sizes={"/tmp": 1}),))
    assert decode(Node, through_json(node)) == node


def test_a_set_is_written_in_order() -> None:
    assert encode(Capabilities("docker", updatable=frozenset(("pids", "cpu"))))["updatable"] == ["cpu", "pids"]


def test_an_unknown_field_of_a_newer_version_is_dropped() -> None:
    assert decode(Node, {"key": list(WEB), "invented": 1}) == Node(WEB)


def test_a_whole_number_is_read_as_a_float_where_one_is_wanted() -> None:
    assert repr(decode(Node, {"key": list(WEB), "ratio": 2}).ratio) == "2.0"


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"key": "web"},
        {"key": list(WEB), "colour": "mauve"},
        {"key": list(WEB), "children": {}},
        {"key": list(WEB), "sizes": {"/tmp": "64Mi"}},
    ],
)
def test_data_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(StateError, match="not a stored Node"):
        decode(Node, data)
