"""The bounded copy of what passes: the first bytes are kept as they are, and all are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moesif_middleware.sansio.exchange import BodyBuffer

KINDS: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes, "bytearray": bytearray, "memoryview": memoryview, "subclass": type("Special", (bytes,), {}),
}  # fmt: skip


@given(st.lists(st.tuples(st.binary(max_size=9), st.sampled_from(sorted(KINDS)))), st.integers(0, 30))
def test_it_keeps_the_beginning_and_counts_everything(pieces: list[tuple[bytes, str]], limit: int) -> None:
    """However the bytes are cut into chunks, and of whatever type these are."""
    buffer = BodyBuffer(limit)
    for data, kind in pieces:
        buffer.feed(KINDS[kind](data))
    whole = b"".join(data for data, _ in pieces)
    assert buffer.getvalue() == whole[:limit]
    assert (buffer.total, buffer.kept) == (len(whole), min(len(whole), limit))
    assert buffer.count == sum(1 for data, _ in pieces if data)
    assert buffer.truncated is (len(whole) > limit)
    assert all(type(chunk) is bytes for chunk in buffer.chunks)


def test_immutable_bytes_are_not_copied() -> None:
    """A large body is kept by a reference; what may still change is copied at once."""
    buffer, fixed, changing = BodyBuffer(100), b"fixed", bytearray(b"before")
    buffer.feed(fixed)
    buffer.feed(changing)
    changing[:] = b"after!"
    assert buffer.chunks[0] is fixed
    assert buffer.getvalue() == b"fixedbefore"


def test_items_of_several_bytes_count_as_their_bytes() -> None:
    """A memoryview may have items of any size."""
    buffer = BodyBuffer(5)
    buffer.feed(memoryview(b"12345678").cast("I"))
    assert (buffer.total, buffer.getvalue()) == (8, b"12345")


@pytest.mark.parametrize("chunk", ["text", None, 7, [b"x"], b"", memoryview(b"")])
def test_what_has_no_bytes_is_no_chunk(chunk: Any) -> None:
    """An application that sends such a thing has its error from the server."""
    buffer = BodyBuffer(5)
    buffer.feed(chunk)
    assert (buffer.total, buffer.count, buffer.getvalue()) == (0, 0, b"")
