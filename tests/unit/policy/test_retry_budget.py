"""A share of the live requests may ask again, and three always."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processor.policy.retry_budget import RetryBudget


@given(live=st.integers(0, 200), share=st.floats(0.01, 1.0))
def test_as_many_may_ask_again_as_the_share_allows(live: int, share: float) -> None:
    budget = RetryBudget()
    for _ in range(live):
        budget.begin("m")
    taken = 0
    while budget.allows("m", share):
        budget.take("m")
        taken += 1
        assert taken <= 1000
    assert max(3, share * live) <= taken < max(3, share * live) + 1


def test_none_may_where_the_share_is_zero() -> None:
    assert not RetryBudget().allows("m", 0.0)


@given(st.lists(st.sampled_from("ab"), max_size=30))
def test_models_do_not_share_it_and_nothing_is_kept_of_what_is_over(names: list[str]) -> None:
    budget = RetryBudget()
    for name in names:
        budget.begin(name)
        budget.take(name)
    assert budget.live("a") == names.count("a")
    for name in names:
        budget.end(name)
        budget.give_back(name)
    assert (budget.live("a"), budget.live("b")) == (0, 0)
    assert budget.allows("a", 0.1)
