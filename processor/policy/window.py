"""Counts over the last seconds, in a fixed number of buckets. Pure: `now` is an argument."""

from __future__ import annotations

from math import floor

_BUCKETS = 10


class Window:
    """Two kinds of events, counted over a window that moves on by a tenth of its length."""

    __slots__ = ("_hits", "_misses", "_slot", "_width", "hits", "misses")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _BUCKETS
        self._slot = 0
        self._hits = [0] * _BUCKETS
        self._misses = [0] * _BUCKETS
        self.hits = 0
        """Those within the window, as of the last call with a time."""
        self.misses = 0
        """The same for the other kind."""

    def hit(self, now: float) -> None:
        """Count one of the first kind."""
        self.advance(now)
        self._hits[self._slot % _BUCKETS] += 1
        self.hits += 1

    def miss(self, now: float) -> None:
        """Count one of the second kind."""
        self.advance(now)
        self._misses[self._slot % _BUCKETS] += 1
        self.misses += 1

    def advance(self, now: float) -> None:
        """Forget what is too old. A clock that goes back changes nothing."""
        slot = floor(now / self._width)
        passed = slot - self._slot
        if passed <= 0:
            return
        for number in range(slot - min(passed, _BUCKETS) + 1, slot + 1):
            index = number % _BUCKETS
            self.hits -= self._hits[index]
            self.misses -= self._misses[index]
            self._hits[index] = self._misses[index] = 0
        self._slot = slot

    def clear(self) -> None:
        """Forget everything."""
        self._hits = [0] * _BUCKETS
        self._misses = [0] * _BUCKETS
        self.hits = self.misses = 0
