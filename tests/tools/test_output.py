"""What is kept of a command's output."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.model.errors import ConflictError
from controller.runtime.protocol import ExecRequest
from controller.tools.exec import Kept, run_to_end


class Said:
    """A session that says what it is given, and may fail then."""

    def __init__(self, *chunks: tuple[str, bytes], fault: Exception | None = None) -> None:
        self._chunks = chunks
        self._fault = fault
        self.closed = False

    def output(self) -> Iterator[tuple[str, bytes]]:
        yield from self._chunks
        if self._fault is not None:
            raise self._fault

    def exit_code(self) -> int:
        return 3

    def close(self) -> None:
        self.closed = True


def test_each_stream_is_kept_to_its_end_and_the_session_closed() -> None:
    session = Said(("stdout", b"a"), ("stderr", b"x"), ("stdout", b"b"))
    done = run_to_end(lambda _: session, ExecRequest(("true",)), 10)
    assert (done.exit_code, done.stdout, done.stderr, done.truncated) == (3, b"ab", b"x", False)
    assert session.closed


def test_the_beginning_and_the_end_are_kept_and_the_rest_counted() -> None:
    session = Said(*[("stdout", f"{number}".encode()) for number in range(100)])
    done = run_to_end(lambda _: session, ExecRequest(("true",)), 10)
    assert done.stdout == "01234\n[… 180 bytes were left out here …]\n79899".encode()
    assert done.truncated


def test_a_session_that_fails_is_closed() -> None:
    session = Said(("stdout", b"a"), fault=ConflictError("gone"))
    with pytest.raises(ConflictError):
        run_to_end(lambda _: session, ExecRequest(("true",)), 10)
    assert session.closed


@given(st.lists(st.binary(max_size=9)), st.integers(0, 40))
def test_whatever_comes_in_whatever_pieces_the_ends_are_kept(chunks: list[bytes], most: int) -> None:
    kept = Kept(most)
    for chunk in chunks:
        kept.add(chunk)
    whole = b"".join(chunks)
    assert kept.left_out == max(0, len(whole) - most)
    if len(whole) <= most:
        assert kept.text() == whole
    else:
        assert kept.text().startswith(whole[: most - most // 2])
        assert kept.text().endswith(whole[len(whole) - most // 2 :])
