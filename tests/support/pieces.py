"""Ways to cut a body into chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from hypothesis import strategies as st

Found = TypeVar("Found")

places = st.lists(st.integers(min_value=0, max_value=1 << 16), max_size=10)
"""Where to cut, for `cut`."""


def bytewise(body: bytes) -> Iterator[bytes]:
    """One byte at a time."""
    return (body[at : at + 1] for at in range(len(body)))


def cut(body: bytes, at: list[int]) -> Iterator[bytes]:
    """In pieces that end at these places, taken modulo the body's length; some may be empty."""
    ends = sorted([*(place % (len(body) + 1) for place in at), len(body)])
    return (body[start:end] for start, end in zip([0, *ends], ends, strict=False))


def fed(feed: Callable[[bytes], Iterable[Found]], pieces: Iterable[bytes]) -> list[Found]:
    """All that a decoder finds in the pieces."""
    return [found for piece in pieces for found in feed(piece)]
