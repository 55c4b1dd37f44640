"""Between the model's dataclasses and plain JSON data, by their type hints.

Fields keep their Python names. What an older or newer version wrote still loads: unknown fields are dropped, absent
ones take their default. Understood are dataclasses, enums, tuples, frozensets, mappings with string keys, named tuples
(as arrays), unions with None, and plain JSON.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Final, TypeVar

from controller.model.errors import StateError

T = TypeVar("T")
Decoder = Callable[[Any], Any]

_PLAIN: Final = frozenset((str, int, float, bool, types.NoneType))


def encode(value: Any) -> Any:
    """The value as data that `json.dumps` takes."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if hasattr(kind, "__dataclass_fields__"):
        return {name: encode(getattr(value, name)) for name in _field_names(kind)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(encode(item) for item in value)
    return [encode(item) for item in value]


def decode(wanted: type[T], data: Any) -> T:
    """A value of the wanted type from what `encode` gave. Raises StateError where the data has another shape."""
    hint: Any = wanted
    try:
        decoded: T = _decoder(hint)(data)
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        raise StateError(f"this is not a stored {wanted.__name__}: {exc}") from exc
    return decoded


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@cache
def _decoder(hint: Any) -> Decoder:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union_decoder(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return partial(_decode_items, tuple, _decoder(arguments[0]))
    if origin is frozenset:
        return partial(_decode_items, frozenset, _decoder(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return partial(_decode_mapping, _decoder(arguments[1]))
    if isinstance(hint, type):
        return _class_decoder(hint)
    return _keep  # Any and Literal


def _class_decoder(kind: type) -> Decoder:
    if dataclasses.is_dataclass(kind):
        return partial(_decode_fields, kind)
    if issubclass(kind, enum.Enum):
        return kind
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return lambda data: kind(*_expect(list, data))
    if kind is float:
        return float
    return partial(_expect, kind) if kind in (str, int, bool) else _keep


def _union_decoder(arguments: tuple[Any, ...]) -> Decoder:
    present = [argument for argument in arguments if argument is not types.NoneType]
    if len(present) != 1:
        return _keep
    decoder = _decoder(present[0])
    return lambda data: None if data is None else decoder(data)


def _decode_fields(kind: type, data: Any) -> Any:
    decoders = _field_decoders(kind)
    return kind(**{name: decoders[name](item) for name, item in data.items() if name in decoders})


@cache
def _field_decoders(kind: type) -> dict[str, Decoder]:
    """Worked out at first use, when all names are known: a dataclass may hold itself."""
    hints = typing.get_type_hints(kind)
    return {name: _decoder(hints[name]) for name in _field_names(kind)}


def _decode_items(kind: type, decoder: Decoder, data: Any) -> Any:
    return kind(map(decoder, _expect(list, data)))


def _decode_mapping(decoder: Decoder, data: Any) -> dict[str, Any]:
    return {key: decoder(item) for key, item in data.items()}


def _expect(kind: type, data: Any) -> Any:
    if not isinstance(data, kind):
        raise TypeError(f"{kind.__name__} expected, not {data!r:.80}")
    return data


def _keep(data: Any) -> Any:
    return data
