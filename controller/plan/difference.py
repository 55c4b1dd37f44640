"""Differences between two JSON values, as the causes that plans print."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, Final

_LONGEST: Final = 40
_CONTEXT: Final = 12
_MOST: Final = 3
_DIGITS: Final = 12
# A map whose keys are the user's own is one field.
_USERS_OWN: Final = frozenset({"tmpfs"})


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "spec") -> Iterator[str]:
    """`spec.image changed python:3.11 → python:3.12`, one for each field that differs, by field name."""
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        path = f"{prefix}.{name}"
        if path == "spec.skill":
            yield from _skill_differences(before, after)
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, path)
        elif path == "spec.env":
            yield _env_difference(before or (), after or ())
        else:
            yield f"{path} changed {' → '.join(_shown(_text(before), _text(after)))}"


def contradicts(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a field that both know differs, where they may come from versions that do not know the same fields."""
    return any(_is_contradiction(name, one[name], other[name]) for name in one.keys() & other.keys())


def _is_contradiction(name: str, one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping) and name not in _USERS_OWN:
        return contradicts(one, other)
    return bool(one != other)


def cause_of_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The differences as one cause: at most three, then how many more. Another isolation explains all the others."""
    if old.get("isolation") != new.get("isolation"):
        old, new = {"isolation": old.get("isolation")}, {"isolation": new.get("isolation")}
    found = list(differences(old, new))
    if not found:
        return "made by another version of sandkeeper"
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more


def _env_difference(old: Any, new: Any) -> str:
    # Values of variables are often secrets said in the clear: a plan names the variables, never their values.
    before, after = ({entry["name"]: entry for entry in entries} for entries in (old, new))
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return f"spec.env changed {', '.join(names) or 'its order'}"


def _skill_differences(old: Any, new: Any) -> Iterator[str]:
    if not old or not new:
        what = "removed" if old else "added"
        yield f"spec.skill {what} (digest {(old or new)['digest'][:_DIGITS]})"
        return
    before, after = old.get("files"), new.get("files")
    if before is None or after is None or before == after:
        yield f"skill changed (digest {old['digest'][:_DIGITS]} → {new['digest'][:_DIGITS]})"
        return
    for file in sorted(before.keys() | after.keys()):
        if before.get(file) != after.get(file):
            yield f"skill {file} {'added' if file not in before else 'removed' if file not in after else 'changed'}"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(before: str, after: str) -> tuple[str, str]:
    """Both, cut to the part where they begin to differ."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    start = max(0, same - _CONTEXT) if max(len(before), len(after)) > _LONGEST else 0
    return _cut(before, start), _cut(after, start)


def _cut(text: str, start: int) -> str:
    end = start + _LONGEST - 1
    return f"{'…' * (start > 0)}{text[start:end]}{'…' * (len(text) > end)}" if len(text) > _LONGEST else text
