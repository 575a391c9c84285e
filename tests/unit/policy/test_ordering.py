from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.domain import Feature
from processor.errors import ClientError
from processor.policy.circuit import State
from processor.policy.health import Health
from processor.policy.ordering import (
    STRATEGIES,
    Candidate,
    Wanted,
    eligible,
    explain,
    order,
    roomier,
    shuffled,
)
from processor.policy.routing import Strategy
from processor.policy.verdict import Blame, Verdict

_NOW = 1000.0
_FAILED = Verdict(retry_next=True, retry_same=True, blame=Blame.TARGET, cooldown=None)

_draws = st.floats(min_value=0, max_value=1, exclude_max=True)
_weights = st.lists(st.integers(min_value=0, max_value=100), min_size=1, max_size=7)
_strategies = st.sampled_from(sorted(STRATEGIES))
_keys = st.integers(min_value=0, max_value=2**64 - 1)


def _candidates(*weights: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(name=f"vendor{number}/model", weight=weight) for number, weight in enumerate(weights))


def _healths(*states: State) -> tuple[Health, ...]:
    healths = tuple(Health() for _ in states)
    for health, state in zip(healths, states, strict=True):
        if state is not State.CLOSED:
            health.circuit.hold(_NOW - 10, 10.0 if state is State.HALF_OPEN else 20.0, "told so")
            assert health.circuit.state(_NOW) is state
    return healths


def _closed(number: int) -> tuple[Health, ...]:
    return _healths(*[State.CLOSED] * number)


@st.composite
def _scenes(draw: st.DrawFn) -> tuple[tuple[Candidate, ...], tuple[Health, ...]]:
    """Up to seven candidates of any weight and health, some of them busy, some with a known time to the first token."""
    candidates = _candidates(*draw(_weights))
    healths = _healths(*(draw(st.sampled_from(State)) for _ in candidates))
    for health in healths:
        for _ in range(draw(st.integers(0, 3))):
            health.begin(_NOW)  # in half-open ones the first is the probe
        if draw(st.booleans()):
            health.sample(draw(st.floats(0, 10)), _NOW - 1)
    return candidates, healths


_wanted = st.builds(Wanted, affinity=st.none() | _keys)


@given(strategy=_strategies, scene=_scenes(), draw=_draws, wanted=_wanted)
def test_every_candidate_that_can_is_in_the_order_once(
    strategy: str, scene: tuple[tuple[Candidate, ...], tuple[Health, ...]], draw: float, wanted: Wanted
) -> None:
    candidates, healths = scene
    numbers = order(strategy, candidates, healths, now=_NOW, draw=draw, wanted=wanted)
    assert sorted(numbers) == list(range(len(candidates)))


@given(strategy=_strategies, scene=_scenes(), draw=_draws, wanted=_wanted)
def test_no_open_circuit_comes_before_a_closed_one(
    strategy: str, scene: tuple[tuple[Candidate, ...], tuple[Health, ...]], draw: float, wanted: Wanted
) -> None:
    candidates, healths = scene
    numbers = order(strategy, candidates, healths, now=_NOW, draw=draw, wanted=wanted)
    states = [healths[number].circuit.state(_NOW) for number in numbers]
    opened = [place for place, state in enumerate(states) if state is State.OPEN]
    assert opened == list(range(len(states) - len(opened), len(states)))
    assert State.HALF_OPEN not in states[1 : 1 + states[1:].count(State.CLOSED)]
    busy = states[0] is State.HALF_OPEN and not healths[numbers[0]].circuit.admits(_NOW)
    assert not (busy and any(health.circuit.admits(_NOW) for health in healths))


@given(strategy=_strategies, scene=_scenes(), draw=_draws, wanted=_wanted)
def test_looking_changes_nothing(
    strategy: str, scene: tuple[tuple[Candidate, ...], tuple[Health, ...]], draw: float, wanted: Wanted
) -> None:
    candidates, healths = scene
    once = order(strategy, candidates, healths, now=_NOW, draw=draw, wanted=wanted)
    places = explain(strategy, candidates, healths, now=_NOW, draw=draw, wanted=wanted)
    assert tuple(place.number for place in places) == once
    assert order(strategy, candidates, healths, now=_NOW, draw=draw, wanted=wanted) == once


def test_every_strategy_that_can_be_configured_is_known() -> None:
    assert set(STRATEGIES) == set(Strategy)


def test_an_unknown_strategy_is_a_bug() -> None:
    with pytest.raises(KeyError):
        order("random", _candidates(1, 1), _closed(2), now=_NOW, draw=0.5)


# Weighted


@given(weights=_weights.filter(lambda weights: sum(map(bool, weights)) > 1))
def test_each_candidate_is_first_as_often_as_its_weight_says(weights: list[int]) -> None:
    draws = 1000
    firsts = Counter(shuffled(weights, (n + 0.5) / draws, range(len(weights)))[0] for n in range(draws))
    for number, weight in enumerate(weights):
        assert firsts[number] == pytest.approx(draws * weight / sum(weights), abs=1.5)


def test_the_rest_follow_by_their_weights_too() -> None:
    weights, random, draws = (6, 3, 1), Random(11), 30_000
    orders = Counter(tuple(shuffled(weights, random.random(), range(3))) for _ in range(draws))
    for first, second, third in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        chance = weights[first] / 10 * weights[second] / (10 - weights[first])
        assert orders[first, second, third] / draws == pytest.approx(chance, abs=0.01)


@given(weights=_weights, draw=_draws)
def test_candidates_of_no_weight_come_last_in_their_own_order(weights: list[int], draw: float) -> None:
    arranged = shuffled(weights, draw, range(len(weights)))
    idle = [number for number, weight in enumerate(weights) if not weight]
    assert arranged[len(weights) - len(idle) :] == idle


@given(weights=st.lists(st.integers(1, 2**50), min_size=1, max_size=8), draw=_draws | st.just(1 - 2**-53))
def test_rounding_loses_nobody(weights: list[int], draw: float) -> None:
    assert sorted(shuffled(weights, draw, range(len(weights)))) == list(range(len(weights)))


def test_those_left_share_by_weight_while_another_is_open() -> None:
    candidates, healths = _candidates(8, 3, 1), _healths(State.OPEN, State.CLOSED, State.CLOSED)
    random, draws = Random(3), 20_000
    firsts = Counter(order("weighted", candidates, healths, now=_NOW, draw=random.random())[0] for _ in range(draws))
    assert [firsts[number] / draws for number in range(3)] == pytest.approx([0, 0.75, 0.25], abs=0.01)


# Failover


def test_failover_keeps_the_listed_order() -> None:
    assert order("failover", _candidates(1, 9, 1), _closed(3), now=_NOW, draw=0.7) == (0, 1, 2)


def test_failover_passes_over_what_is_open_and_sends_the_probe_when_its_time_is_over() -> None:
    candidates = _candidates(1, 1, 1)
    healths = _healths(State.OPEN, State.HALF_OPEN, State.CLOSED)
    assert order("failover", candidates, healths, now=_NOW, draw=0.5) == (1, 2, 0)
    healths[1].begin(_NOW)
    assert order("failover", candidates, healths, now=_NOW, draw=0.5) == (2, 1, 0)


def test_only_the_foremost_is_on_probation() -> None:
    healths = _healths(State.HALF_OPEN, State.HALF_OPEN, State.CLOSED)
    assert order("failover", _candidates(1, 1, 1), healths, now=_NOW, draw=0.5) == (0, 2, 1)


def test_where_all_are_open_the_soonest_is_asked_first() -> None:
    healths = _closed(3)
    for health, seconds in zip(healths, (30.0, 5.0, 60.0), strict=True):
        health.circuit.hold(_NOW, seconds, "told so")
    assert order("failover", _candidates(1, 1, 1), healths, now=_NOW, draw=0.5) == (1, 0, 2)


# Least busy


def test_least_busy_asks_who_has_the_fewest_under_way() -> None:
    healths = _closed(3)
    for health, attempts in zip(healths, (3, 1, 2), strict=True):
        for _ in range(attempts):
            health.begin(_NOW)
    assert order("least_busy", _candidates(1, 1, 1), healths, now=_NOW, draw=0.9) == (1, 2, 0)


def test_least_busy_expects_more_of_the_heavier() -> None:
    healths = _closed(2)
    for health, attempts in zip(healths, (3, 2), strict=True):
        for _ in range(attempts):
            health.begin(_NOW)
    assert order("least_busy", _candidates(2, 1), healths, now=_NOW, draw=0.9) == (0, 1)


def test_chance_decides_between_equally_busy_ones() -> None:
    random = Random(7)
    firsts = Counter(
        order("least_busy", _candidates(1, 1), _closed(2), now=_NOW, draw=random.random())[0] for _ in range(2000)
    )
    assert firsts[0] == pytest.approx(1000, abs=120)


def test_least_busy_fills_targets_by_their_weights() -> None:
    candidates, healths, random = _candidates(4, 2, 1), _closed(3), Random(2)
    for _ in range(70):
        number = order("least_busy", candidates, healths, now=_NOW, draw=random.random())[0]
        healths[number].begin(_NOW)
    assert [health.in_flight for health in healths] == pytest.approx([40, 20, 10], abs=2)


# Latency


def _shares(candidates: tuple[Candidate, ...], healths: tuple[Health, ...], draws: int = 6000) -> list[float]:
    random = Random(13)
    firsts = Counter(order("latency", candidates, healths, now=_NOW, draw=random.random())[0] for _ in range(draws))
    return [firsts[number] / draws for number in range(len(candidates))]


def test_latency_prefers_the_faster_of_two_and_never_the_slowest_of_three() -> None:
    healths = _closed(3)
    for health, seconds in zip(healths, (0.2, 0.5, 2.0), strict=True):
        health.sample(seconds, _NOW)
    assert _shares(_candidates(1, 1, 1), healths) == pytest.approx([2 / 3, 1 / 3, 0], abs=0.03)


def test_an_unknown_latency_is_found_out_by_one_request() -> None:
    candidates, healths = _candidates(1, 1), _closed(2)
    healths[0].sample(0.2, _NOW)
    assert order("latency", candidates, healths, now=_NOW, draw=0.1)[0] == 1
    attempt = healths[1].begin(_NOW)
    assert order("latency", candidates, healths, now=_NOW, draw=0.9)[0] == 0
    attempt.first_content(_NOW + 0.1)
    assert order("latency", candidates, healths, now=_NOW + 0.1, draw=0.1)[0] == 1


def test_latency_does_not_bring_a_candidate_of_no_weight_forward() -> None:
    healths = _closed(2)
    healths[0].sample(5.0, _NOW)
    healths[1].sample(0.1, _NOW)
    assert order("latency", _candidates(1, 0), healths, now=_NOW, draw=0.5) == (0, 1)


# Affinity


@given(key=_keys, strategy=_strategies, draws=st.tuples(_draws, _draws), weights=_weights.filter(any))
def test_the_same_key_goes_to_the_same_target(
    key: int, strategy: str, draws: tuple[float, float], weights: list[int]
) -> None:
    candidates, healths = _candidates(*weights), _closed(len(weights))
    first, second = (
        order(strategy, candidates, healths, now=_NOW, draw=draw, wanted=Wanted(affinity=key))[0] for draw in draws
    )
    assert first == second


@given(
    keys=st.lists(_keys, min_size=20, max_size=60),
    weights=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    gone=st.integers(0, 5),
)
def test_affinity_moves_only_what_was_with_the_target_that_went_away(
    keys: list[int], weights: list[int], gone: int
) -> None:
    gone %= len(weights)
    candidates, healths = _candidates(*weights), _closed(len(weights))

    def owners() -> list[int]:
        return [
            order("weighted", candidates, healths, now=_NOW, draw=0.5, wanted=Wanted(affinity=key))[0] for key in keys
        ]

    before = owners()
    healths[gone].circuit.hold(_NOW, 60.0, "told so")
    after = owners()
    for was, became in zip(before, after, strict=True):
        assert became == was if was != gone else became != gone


def test_affinity_follows_the_name_not_the_place_in_the_list() -> None:
    candidates = _candidates(1, 2, 3)
    turned = candidates[::-1]
    for key in range(0, 2**64, 2**64 // 50):
        first = order("failover", candidates, _closed(3), now=_NOW, draw=0.5, wanted=Wanted(affinity=key))[0]
        again = order("failover", turned, _closed(3), now=_NOW, draw=0.5, wanted=Wanted(affinity=key))[0]
        assert candidates[first] == turned[again]


def test_affinity_shares_keys_by_weight() -> None:
    candidates, healths, random, draws = _candidates(6, 3, 1, 0), _closed(4), Random(17), 10_000
    owners = Counter(
        order("failover", candidates, healths, now=_NOW, draw=0.5, wanted=Wanted(affinity=random.getrandbits(64)))[0]
        for _ in range(draws)
    )
    assert [owners[number] / draws for number in range(4)] == pytest.approx([0.6, 0.3, 0.1, 0], abs=0.02)


def test_where_nobody_has_a_weight_the_strategy_has_its_way() -> None:
    wanted = Wanted(affinity=12345)
    assert order("failover", _candidates(0, 0, 0), _closed(3), now=_NOW, draw=0.5, wanted=wanted) == (0, 1, 2)


def test_neighbouring_keys_do_not_stick_together() -> None:
    candidates, healths = _candidates(1, 1), _closed(2)
    owners = [
        order("failover", candidates, healths, now=_NOW, draw=0.5, wanted=Wanted(affinity=key))[0]
        for key in range(2000)
    ]
    assert sum(owners) == pytest.approx(1000, abs=120)


def test_a_preferred_target_on_probation_gets_its_one_probe() -> None:
    candidates, healths = _candidates(1, 1), _closed(2)
    wanted = Wanted(affinity=5)
    owner = order("failover", candidates, healths, now=_NOW, draw=0.5, wanted=wanted)[0]
    healths[owner].circuit.hold(_NOW, 5.0, "told so")
    assert order("failover", candidates, healths, now=_NOW, draw=0.5, wanted=wanted)[0] != owner
    assert order("failover", candidates, healths, now=_NOW + 5, draw=0.5, wanted=wanted)[0] == owner
    healths[owner].begin(_NOW + 5)
    assert order("failover", candidates, healths, now=_NOW + 5, draw=0.5, wanted=wanted)[0] != owner


# What candidates can do


_BLIND = Candidate(name="blind/model", lacks=frozenset({Feature.VISION}))
_HANDLESS = Candidate(name="handless/model", lacks=frozenset({Feature.TOOLS, Feature.STRUCTURED}))
_SMALL = Candidate(name="small/model", context=8_000)
_LARGE = Candidate(name="large/model", context=128_000)
_ANY = Candidate(name="any/model")


def test_candidates_that_lack_what_is_needed_are_left_out() -> None:
    candidates = (_BLIND, _ANY, _HANDLESS)
    assert eligible(candidates, Wanted(needs=frozenset({Feature.VISION}))) == [1, 2]
    assert eligible(candidates, Wanted(needs=frozenset({Feature.TOOLS, Feature.VISION}))) == [1]
    assert eligible(candidates) == [0, 1, 2]


def test_where_nobody_can_the_client_is_told_what_each_lacks() -> None:
    with pytest.raises(ClientError) as raised:
        order(
            "weighted",
            (_BLIND, _HANDLESS),
            _closed(2),
            now=_NOW,
            draw=0.5,
            wanted=Wanted(needs=frozenset({Feature.VISION, Feature.TOOLS, Feature.STRUCTURED})),
        )
    assert raised.value.status == 400
    assert raised.value.code == "unsupported_feature"
    assert raised.value.message == (
        "No target of this model can do what the request needs: "
        "blind/model has no vision; handless/model has no structured, tools."
    )


def test_an_open_circuit_does_not_make_another_able() -> None:
    healths = _healths(State.OPEN, State.CLOSED)
    wanted = Wanted(needs=frozenset({Feature.VISION}))
    assert order("failover", (_ANY, _BLIND), healths, now=_NOW, draw=0.5, wanted=wanted) == (0,)


@pytest.mark.parametrize(("tokens", "able"), [(0, [0, 1, 2]), (8_000, [0, 1, 2]), (8_001, [1, 2]), (200_000, [2])])
def test_candidates_whose_context_is_too_small_are_left_out(tokens: int, able: list[int]) -> None:
    assert eligible((_SMALL, _LARGE, _ANY), Wanted(tokens=tokens)) == able


def test_where_the_estimate_fits_nowhere_the_largest_has_the_last_word() -> None:
    assert eligible((_SMALL, _LARGE), Wanted(tokens=500_000)) == [1]


def test_after_an_overflow_only_a_larger_context_known_as_such_helps() -> None:
    candidates = (_SMALL, _LARGE, _ANY)
    assert roomier(candidates, 0, (1, 2)) == (1,)
    assert roomier(candidates, 1, (0, 2)) == ()
    assert roomier(candidates, 2, (0, 1)) == (0, 1)


# What is told of it


def test_an_explanation_names_the_places_and_the_reasons() -> None:
    candidates = (_SMALL, _BLIND, _ANY, _LARGE)
    healths = _healths(State.CLOSED, State.CLOSED, State.OPEN, State.CLOSED)
    healths[3].begin(_NOW).first_content(_NOW + 0.25)
    places = explain(
        "failover",
        candidates,
        healths,
        now=_NOW,
        draw=0.5,
        wanted=Wanted(needs=frozenset({Feature.VISION}), tokens=9_000),
    )
    assert [(place.number, place.place, place.reason) for place in places] == [
        (3, 0, "closed; weight 1, 1 in flight, first token 0.25 s"),
        (2, 1, "open for 10.0 s more (told so); weight 1, 0 in flight, first token unknown"),
        (0, None, "left out: takes 8000 tokens, the request has about 9000"),
        (1, None, "left out: has no vision"),
    ]


def test_an_explanation_tells_of_affinity_and_probation() -> None:
    healths = _healths(State.HALF_OPEN, State.HALF_OPEN)
    wanted = Wanted(affinity=5)
    reasons = [p.reason for p in explain("failover", _candidates(1, 1), healths, now=_NOW, draw=0.5, wanted=wanted)]
    assert reasons[0].startswith("preferred by affinity; half-open, one probe at a time (told so)")
    assert reasons[1].startswith("half-open")


def test_an_explanation_of_what_nobody_can_raises_nothing() -> None:
    places = explain(
        "failover", (_BLIND,), _closed(1), now=_NOW, draw=0.5, wanted=Wanted(needs=frozenset({Feature.VISION}))
    )
    assert [(place.place, place.reason) for place in places] == [(None, "left out: has no vision")]


@given(strategy=_strategies, weights=st.lists(st.integers(1, 9), min_size=2, max_size=5), draw=_draws)
def test_one_that_keeps_failing_ends_up_last(strategy: str, weights: list[int], draw: float) -> None:
    healths = _closed(len(weights))
    for _ in range(5):
        healths[0].begin(_NOW).end(_NOW, _FAILED)
    assert order(strategy, _candidates(*weights), healths, now=_NOW, draw=draw)[-1] == 0
