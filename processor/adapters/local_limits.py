"""Limits counted in this process alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from processor.policy.limit_counts import LimitCounts
from processor.policy.limits import Admission, Charge, Limit, Standing, Taken


class LocalLimits:
    """The LimitStore without a Redis."""

    def __init__(self, epoch: Callable[[], float]) -> None:
        self._epoch = epoch
        self._counts = LimitCounts()

    async def acquire(self, charges: Sequence[Charge], *, lease: str, lease_for: float) -> Admission:
        """Take all, or nothing."""
        return self._counts.acquire(charges, lease=lease, lease_for=lease_for, now=self._epoch())

    async def settle(self, taken: Sequence[Taken], actual: Mapping[str, int], *, lease: str) -> None:
        """Put what was used in the place of what was reserved."""
        self._counts.settle(taken, actual, lease=lease, now=self._epoch())

    async def peek(self, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        """How limits stand."""
        return self._counts.peek(limits, now=self._epoch())
