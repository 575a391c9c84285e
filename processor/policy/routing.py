"""Which target is tried first. Pure: chance comes in as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate


class Strategy(StrEnum):
    """How a model's targets share its requests."""

    WEIGHTED = "weighted"
    FAILOVER = "failover"


def first_target(strategy: Strategy, weights: Sequence[int], draw: float) -> int:
    """The number of the target to start from; `draw` is uniform in [0, 1)."""
    if strategy is Strategy.FAILOVER or len(weights) == 1:
        return 0
    sums = list(accumulate(weights))
    return next(number for number, bound in enumerate(sums) if draw * sums[-1] < bound)
