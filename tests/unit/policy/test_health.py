"""A target's circuit: failures in a row open it, or as long as it is told; one probe goes, and success closes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.health import Circuit, Health, Healths

CIRCUIT = Circuit(failures=3, open_for=10.0, longest=60.0)


def failed(times: int, *, now: float = 0.0) -> Health:
    health = Health(CIRCUIT)
    for _ in range(times):
        health.failed(now)
    return health


def test_it_opens_on_failures_in_a_row() -> None:
    assert failed(2).is_closed
    opened = failed(3)
    assert not opened.is_closed
    assert not opened.may_be_tried(9.9)
    assert opened.may_be_tried(10.0)


def test_a_success_between_them_begins_the_count_again() -> None:
    health = failed(2)
    health.succeeded(latency=0.1)
    health.failed(0.0)
    health.failed(0.0)
    assert health.is_closed


def test_a_cooldown_opens_it_at_once_and_for_as_long_as_is_said() -> None:
    health = Health(CIRCUIT)
    health.failed(0.0, cooldown=30.0)
    assert not health.may_be_tried(29.9)
    assert health.may_be_tried(30.0)


def test_nobody_is_left_alone_for_longer_than_the_longest() -> None:
    health = Health(CIRCUIT)
    health.failed(0.0, cooldown=86_400.0)
    assert health.may_be_tried(60.0)


def test_only_one_probe_goes_and_one_that_is_never_heard_of_is_given_up() -> None:
    health = failed(3)
    health.probe(10.0)
    assert not health.may_be_tried(11.0)
    assert health.may_be_tried(70.0)


def test_a_failed_probe_doubles_the_time_up_to_the_longest() -> None:
    health = failed(3)
    now, waits = 10.0, []
    for _ in range(4):
        health.probe(now)
        health.failed(now)
        waited = next(seconds for seconds in range(100) if health.may_be_tried(now + seconds))
        waits.append(waited)
        now += waited
    assert waits == [20, 40, 60, 60]
    health.succeeded(latency=0.1)
    assert health.is_closed
    for _ in range(3):
        health.failed(now)
    assert health.may_be_tried(now + 10), "after a success it begins small again"


def test_it_never_opens_where_it_is_switched_off() -> None:
    health = Health(Circuit(failures=0))
    for _ in range(100):
        health.failed(0.0, cooldown=60.0)
    assert health.is_closed


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=60))
def test_whatever_happens_it_may_be_tried_again_some_time(events: list[float | None]) -> None:
    health, now = Health(CIRCUIT), 0.0
    for event in events:
        now += 1.0
        if event is None:
            health.succeeded(latency=0.1)
            assert health.is_closed
        else:
            health.failed(now, cooldown=event)
    assert health.may_be_tried(now + CIRCUIT.longest)


def test_the_average_follows_the_latest_times() -> None:
    health = Health(CIRCUIT)
    assert health.latency is None
    for latency in [1.0] * 5 + [0.1] * 20:
        health.succeeded(latency=latency)
    assert health.latency == pytest.approx(0.1, abs=0.01)


def test_targets_that_nobody_names_any_more_are_forgotten() -> None:
    healths = Healths(CIRCUIT)
    first = healths.of("a/0")
    assert healths.of("a/0") is first
    for number in range(1, 5000):
        healths.of(f"a/{number}")
    assert healths.of("a/0") is not first
