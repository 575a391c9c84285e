"""In which order targets are tried. Pure: chance comes in as an argument."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from processor.policy.health import Health


class Strategy(StrEnum):
    """How a model's targets share its requests."""

    WEIGHTED = "weighted"
    FAILOVER = "failover"
    LEAST_BUSY = "least_busy"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target, as far as its order is concerned."""

    weight: int
    health: Health


_EXPLORED = 0.05
"""Of the requests by latency, the share that asks whoever is drawn: times that nobody measures grow old."""

Draw = Callable[[], float]
"""Uniform in [0, 1)."""


def order(strategy: Strategy, candidates: Sequence[Candidate], draw: Draw, now: float) -> list[int]:
    """The candidates' numbers, the first to try first: by the strategy, those whose circuit is open behind all others.

    An open circuit that may be probed has its own place for one request; that request is the probe.
    """
    if len(candidates) == 1:
        return [0]
    preferred = _ORDERS[strategy](candidates, draw)
    tried = [number for number in preferred if candidates[number].health.may_be_tried(now)]
    if tried and not candidates[tried[0]].health.is_closed:
        candidates[tried[0]].health.probe(now)
    return tried + [number for number in preferred if number not in tried]


def first_by_weight(weights: Sequence[int], draw: float) -> int:
    """The number of the target that a draw falls on."""
    sums = list(accumulate(weights))
    return next(number for number, bound in enumerate(sums) if draw * sums[-1] < bound)


def _weighted(candidates: Sequence[Candidate], draw: Draw) -> list[int]:
    """One by weight, the others as they are listed behind it."""
    start = first_by_weight([candidate.weight for candidate in candidates], draw())
    return [(start + number) % len(candidates) for number in range(len(candidates))]


def _failover(candidates: Sequence[Candidate], _: Draw) -> list[int]:
    return list(range(len(candidates)))


def _least_busy(candidates: Sequence[Candidate], draw: Draw) -> list[int]:
    """By attempts under way for their weight; of equals, one by chance. A weight of 0 is kept for when others fail."""
    start = int(draw() * len(candidates))
    rotated = ((start + number) % len(candidates) for number in range(len(candidates)))
    return sorted(rotated, key=lambda number: _load(candidates[number]))


def _load(candidate: Candidate) -> tuple[bool, float]:
    return candidate.weight == 0, (candidate.health.in_flight + 1) / (candidate.weight or 1)


def _latency(candidates: Sequence[Candidate], draw: Draw) -> list[int]:
    """The quicker of two by chance, so that nobody is trampled; the others by how quick they are.

    One that has not answered yet counts as quick, and now and then one is asked whatever is known of it: somebody has
    to find out.
    """
    listed = [number for number, candidate in enumerate(candidates) if candidate.weight] or list(range(len(candidates)))
    one = listed.pop(int(draw() * len(listed)))
    first = one
    if listed and draw() >= _EXPLORED:
        other = listed[int(draw() * len(listed))]
        first = min(one, other, key=lambda number: candidates[number].health.latency or 0.0)
    others = (number for number in range(len(candidates)) if number != first)
    return [first, *sorted(others, key=lambda n: (candidates[n].weight == 0, candidates[n].health.latency or 0.0))]


_ORDERS: dict[Strategy, Callable[[Sequence[Candidate], Draw], list[int]]] = {
    Strategy.WEIGHTED: _weighted,
    Strategy.FAILOVER: _failover,
    Strategy.LEAST_BUSY: _least_busy,
    Strategy.LATENCY: _latency,
}
