"""The order of targets: by strategy, the living before those whose circuit is open."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.health import Circuit, Health
from processor.policy.routing import Candidate, Strategy, first_by_weight, order

_weights = st.lists(st.integers(min_value=0, max_value=1000), min_size=1, max_size=8).filter(any)
_draws = st.floats(min_value=0, max_value=1, exclude_max=True)
strategies = pytest.mark.parametrize("strategy", Strategy)


def health(*, latency: float | None = None, in_flight: int = 0, opened: bool = False) -> Health:
    known = Health(Circuit())
    if latency is not None:
        known.succeeded(latency=latency)
    known.in_flight = in_flight
    if opened:
        known.failed(0.0, cooldown=100.0)
    return known


def candidates(*healths: Health, weights: tuple[int, ...] = ()) -> list[Candidate]:
    return [Candidate(weight, known) for weight, known in zip(weights or (1,) * len(healths), healths, strict=True)]


@given(weights=_weights)
def test_each_target_gets_its_share(weights: list[int]) -> None:
    draws = 4000
    counts = Counter(first_by_weight(weights, (number + 0.5) / draws) for number in range(draws))
    for target, weight in enumerate(weights):
        assert counts[target] == pytest.approx(draws * weight / sum(weights), abs=1.5)


@pytest.mark.parametrize(("draw", "target"), [(0.0, 1), (0.2499, 1), (0.25, 3), (0.9999999999999999, 3)])
def test_the_bounds_between_targets_are_sharp(draw: float, target: int) -> None:
    assert first_by_weight((0, 1, 0, 3), draw) == target


@strategies
@given(
    weights=_weights,
    opened=st.lists(st.booleans(), min_size=8, max_size=8),
    busy=st.lists(st.integers(0, 9), min_size=8, max_size=8),
    seed=st.integers(),
)
def test_every_target_has_its_place_and_no_open_circuit_comes_before_a_closed_one(
    strategy: Strategy, weights: list[int], opened: list[bool], busy: list[int], seed: int
) -> None:
    known = [health(in_flight=busy[n], opened=opened[n]) for n in range(len(weights))]
    numbers = order(strategy, candidates(*known, weights=tuple(weights)), Random(seed).random, now=1.0)
    assert sorted(numbers) == list(range(len(weights)))
    places = [opened[number] for number in numbers]
    assert places == sorted(places) or len(weights) == 1


@strategies
def test_one_target_is_asked_whatever_is_known_of_it(strategy: Strategy) -> None:
    assert order(strategy, candidates(health(opened=True)), lambda: 0.0, now=1.0) == [0]


def test_failover_keeps_to_the_list() -> None:
    assert order(Strategy.FAILOVER, candidates(health(), health(), health()), lambda: 0.9, 0.0) == [0, 1, 2]


def test_weighted_draws_the_first_and_goes_round() -> None:
    three = candidates(health(), health(), health(), weights=(0, 1, 1))
    assert order(Strategy.WEIGHTED, three, lambda: 0.0, 0.0) == [1, 2, 0]
    assert order(Strategy.WEIGHTED, three, lambda: 0.99, 0.0) == [2, 0, 1]


def test_least_busy_counts_for_the_weight_and_keeps_weight_0_for_last() -> None:
    three = candidates(health(in_flight=5), health(in_flight=2), health(), weights=(10, 1, 0))
    assert order(Strategy.LEAST_BUSY, three, lambda: 0.5, 0.0) == [0, 1, 2]


@given(_draws)
def test_of_equally_busy_ones_each_may_be_first(draw: float) -> None:
    assert order(Strategy.LEAST_BUSY, candidates(health(), health()), lambda: draw, 0.0)[0] == int(draw * 2)


def test_latency_prefers_the_quicker_and_looks_at_the_others_now_and_then() -> None:
    random = Random(7)
    three = candidates(health(latency=0.9), health(latency=0.1), health(latency=0.5))
    firsts = Counter(order(Strategy.LATENCY, three, random.random, 0.0)[0] for _ in range(4000))
    assert firsts[1] > firsts[2] > firsts[0] > 0
    assert firsts[1] / 4000 == pytest.approx(0.95 * 2 / 3 + 0.05 / 3, abs=0.03)


def test_latency_asks_one_that_has_never_answered() -> None:
    two = candidates(health(latency=0.1), health())
    assert order(Strategy.LATENCY, two, lambda: 0.5, 0.0)[0] == 1


def test_one_request_probes_a_circuit_that_has_been_open_long_enough() -> None:
    first = health(opened=True)
    two = candidates(first, health())
    assert order(Strategy.FAILOVER, two, lambda: 0.0, now=99.0) == [1, 0]
    assert order(Strategy.FAILOVER, two, lambda: 0.0, now=100.0) == [0, 1], "the probe"
    assert order(Strategy.FAILOVER, two, lambda: 0.0, now=100.1) == [1, 0], "others wait for what comes of it"
    first.succeeded(latency=0.1)
    assert order(Strategy.FAILOVER, two, lambda: 0.0, now=100.2) == [0, 1]
