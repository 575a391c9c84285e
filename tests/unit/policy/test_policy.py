"""Decisions: which target first, how many tokens a text is."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from processor.policy.estimate import estimate_text, estimate_tokens
from processor.policy.failover import RETRIABLE_STATUSES
from processor.policy.routing import Strategy, first_target

WEIGHTS = st.lists(st.integers(0, 100), min_size=1, max_size=6).filter(any)


@given(WEIGHTS)
def test_weighted_targets_are_drawn_by_their_weights(weights: list[int]) -> None:
    draws = 1000
    counts = Counter(first_target(Strategy.WEIGHTED, weights, number / draws) for number in range(draws))
    for target, weight in enumerate(weights):
        assert abs(counts[target] / draws - weight / sum(weights)) <= 2 / draws


@given(WEIGHTS, st.floats(0, 1, exclude_max=True))
def test_a_target_of_weight_0_is_never_first(weights: list[int], draw: float) -> None:
    assert len(weights) == 1 or weights[first_target(Strategy.WEIGHTED, weights, draw)] > 0


@given(WEIGHTS, st.floats(0, 1, exclude_max=True))
def test_failover_begins_with_the_first(weights: list[int], draw: float) -> None:
    assert first_target(Strategy.FAILOVER, weights, draw) == 0


def test_what_the_client_did_wrong_is_not_retried() -> None:
    assert not {400, 401, 402, 403, 404, 413, 422} & set(RETRIABLE_STATUSES)


def test_estimates_are_near_what_tokenisers_count() -> None:
    assert estimate_tokens(0) == 0
    assert 9 <= estimate_text("The quick brown fox jumps over the lazy dog.") <= 13
    assert 4 <= estimate_text("今天天气很好") <= 7
    assert estimate_text("x") == 1
