"""Answers kept in this process alone."""

from __future__ import annotations

from collections.abc import Callable

from cachetools import TLRUCache

from processor.ports import KeptAnswer

_OVERHEAD = 1024
"""Bytes an answer takes beside its body: its key, its fields, its place."""


class LocalAnswers:
    """The AnswerStore without a Redis: where there is no more room, whoever was not asked for longest goes."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """`size` in bytes, `clock` in seconds, never going back."""
        self._clock = clock
        self._answers: TLRUCache[str, tuple[KeptAnswer, float]] = TLRUCache(
            size, ttu=_until, timer=clock, getsizeof=_size
        )

    async def get(self, key: str) -> KeptAnswer | None:
        """The answer, if it is still kept."""
        found = self._answers.get(key)
        return found[0] if found else None

    async def put(self, key: str, answer: KeptAnswer, *, keep_for: float) -> None:
        """Keep it, unless it is larger than all there is room for."""
        entry = (answer, keep_for)
        if _size(entry) <= self._answers.maxsize:
            self._answers[key] = entry


def _until(_: str, entry: tuple[KeptAnswer, float], now: float) -> float:
    return now + entry[1]


def _size(entry: tuple[KeptAnswer, float]) -> int:
    return len(entry[0].body) + _OVERHEAD
