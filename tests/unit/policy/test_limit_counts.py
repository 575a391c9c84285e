"""What the counting of limits promises at any time, by a clock that the tests hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.limit_counts import LimitCounts, month_begins, month_of
from processor.policy.limits import Admission, Charge, Limit, Period, Unit

START = datetime(2026, 9, 21, 13, 46, 40, tzinfo=UTC).timestamp()
RPM = Limit(subject="key:a", unit=Unit.REQUESTS, period=Period.MINUTE, amount=3)
TPM = Limit(subject="key:a", unit=Unit.TOKENS, period=Period.MINUTE, amount=100)
DAY = Limit(subject="key:a", unit=Unit.MONEY, period=Period.DAY, amount=9 * 10**12)
MONTH = Limit(subject="team:t", unit=Unit.TOKENS, period=Period.MONTH, amount=1000)
NOW = Limit(subject="model:m", unit=Unit.REQUESTS, period=Period.NOW, amount=2)
ALL = (RPM, TPM, DAY, MONTH, NOW)


def ask(
    counts: LimitCounts, limit: Limit, cost: int = 1, *, now: float = START, lease: str = "r", lease_for: float = 900.0
) -> Admission:
    return counts.acquire([Charge(limit=limit, cost=cost)], lease=lease, lease_for=lease_for, now=now)


def is_admitted(counts: LimitCounts, limit: Limit, cost: int = 1, *, now: float = START, lease: str = "r") -> bool:
    return ask(counts, limit, cost, now=now, lease=lease).refused is None


def remaining(counts: LimitCounts, limits: Iterable[Limit], now: float = START) -> list[int]:
    return [standing.remaining for standing in counts.peek(tuple(limits), now=now)]


ASKED = st.lists(st.tuples(st.floats(0, 9), st.integers(1, 40), st.integers(0, 60)), max_size=200)


@given(asked=ASKED, amount=st.integers(1, 120))
def test_no_sixty_seconds_ever_hold_more_than_the_limit(asked: list[tuple[float, int, int]], amount: int) -> None:
    limit = Limit(subject="k", unit=Unit.TOKENS, period=Period.MINUTE, amount=amount)
    counts, now, admitted = LimitCounts(), START, list[tuple[float, int]]()
    for pause, cost, used in asked:
        now += pause
        found = ask(counts, limit, cost, now=now)
        if found.refused is None:
            window = cost + sum(tokens for at, tokens in admitted if now - 60 < at)
            assert window <= amount, "reserved, beside what was used"
            counts.settle(found.taken, {limit.name: min(used, cost)}, lease="r", now=now)
            admitted.append((now, min(used, cost)))


@given(asked=ASKED, amount=st.integers(1, 120))
def test_who_waits_as_long_as_told_is_admitted_and_not_a_second_earlier(
    asked: list[tuple[float, int, int]], amount: int
) -> None:
    limit = Limit(subject="k", unit=Unit.TOKENS, period=Period.MINUTE, amount=amount)
    counts, now = LimitCounts(), START
    for pause, cost, _ in asked:
        now += pause
        found = ask(counts, limit, cost, now=now)
        if found.refused is None:
            continue
        if found.retry_after is None:
            assert cost > amount
            continue
        assert 0 < found.retry_after <= 61
        if found.retry_after > 1:
            assert not is_admitted(counts, limit, cost, now=now + found.retry_after - 1)
        now += found.retry_after
        assert is_admitted(counts, limit, cost, now=now)


@pytest.mark.parametrize("per_second", [11, 20, 400])
def test_nearly_all_of_a_limit_can_be_used(per_second: int) -> None:
    limit = Limit(subject="k", unit=Unit.REQUESTS, period=Period.MINUTE, amount=600)
    counts, minutes = LimitCounts(), 10
    times = (START + 0.3 + step / per_second for step in range(per_second * 60 * minutes))
    admitted = sum(is_admitted(counts, limit, now=now) for now in times)
    assert admitted >= 0.97 * limit.amount * minutes


@given(st.lists(st.tuples(st.sampled_from(ALL), st.integers(0, 90), st.floats(0, 9)), max_size=40))
def test_what_is_given_back_leaves_nothing_behind(asked: list[tuple[Limit, int, float]]) -> None:
    counts, now, held = LimitCounts(), START, list[tuple[str, Admission]]()
    for number, (limit, cost, pause) in enumerate(asked):
        now += pause
        held.append((str(number), ask(counts, limit, cost, now=now, lease=str(number))))
    for lease, found in held:
        counts.settle(found.taken, {}, lease=lease, now=now)
    assert remaining(counts, ALL, now) == [limit.amount for limit in ALL]
    assert [standing.reset for standing in counts.peek([RPM, TPM, NOW], now=now)] == [0, 0, 0]


def test_a_minute_is_free_again_when_its_buckets_have_left() -> None:
    counts = LimitCounts()
    assert is_admitted(counts, TPM, 60, now=START + 0.5)
    assert is_admitted(counts, TPM, 40, now=START + 10.5)
    refused = ask(counts, TPM, 50, now=START + 20.5)
    assert refused.retry_after == 40.5
    assert refused.standings[0].reset == 50.5
    assert remaining(counts, [TPM], START + 60.9) == [0]
    assert remaining(counts, [TPM], START + 61) == [60]
    assert remaining(counts, [TPM], START + 71) == [100]


@pytest.mark.parametrize(
    ("limit", "end"), [(DAY, datetime(2026, 9, 22, tzinfo=UTC)), (MONTH, datetime(2026, 10, 1, tzinfo=UTC))]
)
def test_a_day_and_a_month_end_by_the_calendar(limit: Limit, end: datetime) -> None:
    counts, ends = LimitCounts(), end.timestamp()
    taken = ask(counts, limit, limit.amount).taken
    assert ask(counts, limit).retry_after == ends - START
    assert not is_admitted(counts, limit, now=ends - 0.001)
    assert is_admitted(counts, limit, 7, now=ends)
    counts.settle(taken, {}, lease="r", now=ends + 1)
    assert remaining(counts, [limit], ends + 1) == [limit.amount - 7], "what was settled is of the one before"


def test_what_was_taken_more_than_a_minute_ago_is_settled_with_nothing() -> None:
    counts = LimitCounts()
    taken = ask(counts, TPM, 50).taken
    assert is_admitted(counts, TPM, 30, now=START + 90)
    counts.settle(taken, {TPM.name: 5000}, lease="r", now=START + 90)
    assert remaining(counts, [TPM], START + 90) == [70]


def test_counts_that_were_forgotten_are_not_settled_below_nothing() -> None:
    counts, others = LimitCounts(), LimitCounts()
    for limit in (TPM, MONTH):
        taken = ask(others, limit, 50).taken
        assert is_admitted(counts, limit, 10)
        counts.settle(taken, {}, lease="r", now=START)
        assert remaining(counts, [limit]) == [limit.amount]


def test_a_lost_request_is_given_up_when_its_own_lease_ends() -> None:
    counts = LimitCounts()
    ask(counts, NOW, lease="long", lease_for=900)
    ask(counts, NOW, lease="short", lease_for=10)
    assert not is_admitted(counts, NOW, lease="c", now=START + 9)
    assert is_admitted(counts, NOW, lease="c", now=START + 10)
    assert not is_admitted(counts, NOW, lease="d", now=START + 899)
    assert is_admitted(counts, NOW, lease="d", now=START + 900)


def test_a_request_that_is_over_twice_frees_one_place() -> None:
    counts = LimitCounts()
    first, _ = ask(counts, NOW, lease="a"), ask(counts, NOW, lease="b")
    for _ in range(2):
        counts.settle(first.taken, {}, lease="a", now=START)
    assert remaining(counts, [NOW]) == [1]


@pytest.mark.parametrize("limit", [TPM, DAY, MONTH])
def test_a_clock_set_back_a_little_gives_nothing_back(limit: Limit) -> None:
    counts = LimitCounts()
    midnight = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
    assert is_admitted(counts, limit, limit.amount, now=midnight)
    assert not is_admitted(counts, limit, now=midnight - 30)
    assert not is_admitted(counts, limit, now=midnight + 30)


@pytest.mark.parametrize("limit", [TPM, DAY, MONTH])
def test_a_clock_set_back_by_far_does_not_close_a_limit_until_its_future_comes(limit: Limit) -> None:
    counts = LimitCounts()
    assert is_admitted(counts, limit, limit.amount, now=START + 400 * 86_400)
    assert is_admitted(counts, limit, 1)
    assert remaining(counts, [limit], START + 1) == [limit.amount - 1]


def test_of_too_many_limits_those_go_that_would_soonest_be_free() -> None:
    counts = LimitCounts(most=40)
    month = [Limit(subject=f"m{n}", unit=Unit.TOKENS, period=Period.MONTH, amount=9) for n in range(20)]
    for limit in month:
        assert is_admitted(counts, limit, 5)
    assert is_admitted(counts, NOW)
    for number in range(500):
        passing = Limit(subject=f"k{number}", unit=Unit.TOKENS, period=Period.MINUTE, amount=9)
        assert is_admitted(counts, passing, 9)
        assert len(counts) <= 40
    assert remaining(counts, month) == [4] * 20
    assert remaining(counts, [NOW]) == [1], "what is under way is not forgotten"
    assert is_admitted(counts, month[0], 4), "it is still the same counter"


def test_of_too_many_alike_the_most_used_are_kept() -> None:
    counts = LimitCounts(most=40)
    busy = Limit(subject="busy", unit=Unit.TOKENS, period=Period.MONTH, amount=9)
    assert is_admitted(counts, busy, 9)
    for number in range(500):
        ask(counts, Limit(subject=f"k{number}", unit=Unit.TOKENS, period=Period.MONTH, amount=9))
    assert not is_admitted(counts, busy)


def test_limits_of_which_nothing_is_left_are_forgotten_first() -> None:
    counts = LimitCounts(most=40)
    kept = Limit(subject="kept", unit=Unit.TOKENS, period=Period.MINUTE, amount=9)
    for number in range(39):
        ask(counts, Limit(subject=f"k{number}", unit=Unit.TOKENS, period=Period.MINUTE, amount=9))
    assert is_admitted(counts, kept, 9, now=START + 50)
    ask(counts, Limit(subject="one more", unit=Unit.TOKENS, period=Period.MINUTE, amount=9), now=START + 65)
    assert len(counts) == 2
    assert not is_admitted(counts, kept, now=START + 65)


def test_asking_how_limits_stand_remembers_none() -> None:
    counts = LimitCounts()
    assert remaining(counts, ALL) == [limit.amount for limit in ALL]
    assert len(counts) == 0


@given(st.floats(0, 4e9))
def test_months_begin_and_end_with_the_calendar(now: float) -> None:
    month = month_of(now)
    assert month_begins(month) <= now < month_begins(month + 1)
