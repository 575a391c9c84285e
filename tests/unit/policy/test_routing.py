from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.routing import Strategy, first_target

_weights = st.lists(st.integers(min_value=0, max_value=1000), min_size=1, max_size=8).filter(any)
_draws = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(weights=_weights)
def test_each_target_gets_its_share(weights: list[int]) -> None:
    draws = 4000
    counts = Counter(first_target(Strategy.WEIGHTED, weights, (number + 0.5) / draws) for number in range(draws))
    for target, weight in enumerate(weights):
        assert counts[target] == pytest.approx(draws * weight / sum(weights), abs=1.5)


def test_shares_hold_for_random_draws() -> None:
    random = Random(5)
    counts = Counter(first_target(Strategy.WEIGHTED, (70, 20, 10), random.random()) for _ in range(20_000))
    assert [counts[target] / 20_000 for target in range(3)] == pytest.approx([0.7, 0.2, 0.1], abs=0.01)


@given(weights=_weights, draw=_draws)
def test_a_target_of_no_weight_is_never_first(weights: list[int], draw: float) -> None:
    chosen = first_target(Strategy.WEIGHTED, weights, draw)
    assert weights[chosen] > 0 or len(weights) == 1


@pytest.mark.parametrize(("draw", "target"), [(0.0, 1), (0.2499, 1), (0.25, 3), (0.9999999999999999, 3)])
def test_the_bounds_between_targets_are_sharp(draw: float, target: int) -> None:
    assert first_target(Strategy.WEIGHTED, (0, 1, 0, 3), draw) == target


@given(weights=_weights, draw=_draws)
def test_failover_begins_with_the_first(weights: list[int], draw: float) -> None:
    assert first_target(Strategy.FAILOVER, weights, draw) == 0


@given(draw=_draws)
def test_the_only_target_is_chosen_whatever_its_weight(draw: float) -> None:
    assert first_target(Strategy.WEIGHTED, (0,), draw) == 0


@given(weights=st.lists(st.integers(min_value=1, max_value=2**50), min_size=2, max_size=5))
def test_rounding_never_runs_off_the_end(weights: list[int]) -> None:
    assert first_target(Strategy.WEIGHTED, weights, 1 - 2**-53) in range(len(weights))
