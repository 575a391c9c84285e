from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.policy.circuit import CircuitSettings, State
from processor.policy.health import Health, Healths, TargetKey
from processor.policy.verdict import ANSWERED, Blame, Outcome, Verdict, judge

_NOW = 1000.0
_FAILED = judge(Outcome(status=500))
_LIMITED = judge(Outcome(status=429, retry_after=9.0))
_REJECTED = judge(Outcome(status=401))


def _key(number: int) -> TargetKey:
    return TargetKey("house", f"model{number}")


@given(ends=st.lists(st.tuples(st.sampled_from([None, ANSWERED, _FAILED, _LIMITED, _REJECTED]), st.integers(1, 3))))
def test_attempts_under_way_are_counted_until_their_first_end(ends: list[tuple[Verdict | None, int]]) -> None:
    health = Health()
    attempts = [health.begin(_NOW) for _ in ends]
    assert health.in_flight == len(ends)
    for attempt, (verdict, times) in zip(attempts, ends, strict=True):
        for _ in range(times):
            attempt.end(_NOW + 1, verdict)
    assert health.in_flight == 0


def test_the_time_to_the_first_token_is_counted_once() -> None:
    health = Health()
    attempt = health.begin(_NOW)
    attempt.first_content(_NOW + 0.5)
    attempt.first_content(_NOW + 9)
    assert health.ttft(_NOW + 9) == 0.5
    attempt.end(_NOW + 10)
    attempt.first_content(_NOW + 20)
    assert health.ttft(_NOW + 20) == 0.5


def test_recent_times_weigh_most() -> None:
    health = Health()
    for second in range(60):
        health.sample(4.0, _NOW + second)
    assert health.ttft(_NOW + 60) == pytest.approx(4.0)
    for second in range(60, 75):  # one half-life
        health.sample(1.0, _NOW + second)
    assert health.ttft(_NOW + 75) == pytest.approx(2.5, abs=0.2)


@given(samples=st.lists(st.tuples(st.floats(0, 60), st.floats(0, 50)), min_size=1))
def test_the_average_lies_among_what_it_averages(samples: list[tuple[float, float]]) -> None:
    health, now = Health(), _NOW
    for seconds, later in samples:
        now += later
        health.sample(seconds, now)
    known = health.ttft(now)
    assert known is not None
    times = [seconds for seconds, _ in samples]
    assert min(times) - 1e-9 <= known <= max(times) + 1e-9


def test_an_idle_targets_time_is_forgotten() -> None:
    health = Health()
    assert health.ttft(_NOW) is None
    health.sample(0.5, _NOW)
    assert health.ttft(_NOW + 60) == 0.5
    assert health.ttft(_NOW + 61) is None


def test_a_first_token_that_never_came_counts_as_slow() -> None:
    health = Health()
    health.sample(0.5, _NOW)
    health.begin(_NOW).end(_NOW + 8.0, _FAILED)
    assert health.ttft(_NOW + 8) == pytest.approx(4.8, abs=0.3)


def test_a_quick_refusal_does_not_make_a_target_look_fast() -> None:
    health = Health()
    health.sample(0.5, _NOW)
    health.begin(_NOW).end(_NOW + 0.01, _FAILED)
    assert health.ttft(_NOW + 0.01) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("verdict", "seconds", "why"),
    [
        (_LIMITED, 9.0, "rate limited"),
        (_REJECTED, 300.0, "our key was rejected, or its account is out of funds"),
    ],
)
def test_a_limit_or_a_rejected_key_opens_the_circuit_at_once(verdict: Verdict, seconds: float, why: str) -> None:
    health = Health()
    health.begin(_NOW).end(_NOW, verdict)
    assert health.circuit.remaining(_NOW) == seconds
    assert health.circuit.why == why


def test_failures_in_a_row_open_the_circuit_and_the_first_content_of_a_probe_closes_it() -> None:
    health = Health(CircuitSettings(consecutive_failures=2, open_for=5.0))
    for _ in range(2):
        health.begin(_NOW).end(_NOW, _FAILED)
    assert health.circuit.state(_NOW) is State.OPEN
    probe = health.begin(_NOW + 5)
    assert not health.circuit.admits(_NOW + 5)
    probe.first_content(_NOW + 6)
    assert health.circuit.closed


def test_streams_that_are_cut_after_their_first_content_open_the_circuit() -> None:
    health = Health(CircuitSettings(consecutive_failures=3))
    for _ in range(3):
        attempt = health.begin(_NOW)
        attempt.first_content(_NOW)
        attempt.end(_NOW, _FAILED)
    assert health.circuit.state(_NOW) is State.OPEN


@pytest.mark.parametrize("blame", [Blame.CLIENT, Blame.CONTENT, Blame.CONTEXT, Blame.NONE])
def test_a_target_that_refuses_what_a_client_asked_is_well(blame: Blame) -> None:
    health = Health(CircuitSettings(consecutive_failures=2))
    health.begin(_NOW).end(_NOW, _FAILED)
    health.begin(_NOW).end(_NOW, Verdict(retry_next=False, retry_same=False, blame=blame, cooldown=None))
    health.begin(_NOW).end(_NOW, _FAILED)
    assert health.circuit.closed


def test_clients_that_leave_tell_nothing_and_free_the_probe() -> None:
    health = Health()
    health.begin(_NOW).end(_NOW, _LIMITED)
    for _ in range(3):
        assert health.circuit.admits(_NOW + 9)
        health.begin(_NOW + 9).end(_NOW + 9, None)
    assert not health.circuit.closed


def test_a_snapshot_tells_all_of_it() -> None:
    health = Health()
    health.begin(_NOW).first_content(_NOW + 0.5)
    health.begin(_NOW).end(_NOW + 1)
    health.begin(_NOW).end(_NOW + 1, _FAILED)
    snapshot = health.snapshot(_NOW + 1)
    assert (snapshot.state, snapshot.why, snapshot.remaining) == (State.CLOSED, "", 0.0)
    assert (snapshot.in_flight, snapshot.succeeded, snapshot.failed) == (1, 1, 1)
    assert snapshot.ttft == pytest.approx(0.75, abs=0.02)  # the one that failed had waited for a second
    health.begin(_NOW).end(_NOW + 1, _LIMITED)
    assert health.snapshot(_NOW + 2).state is State.OPEN
    assert health.snapshot(_NOW + 2).remaining == 8.0


def test_each_target_has_its_own_health_and_keeps_it() -> None:
    healths = Healths()
    one = healths.of(TargetKey("house", "model", 0))
    assert healths.of(TargetKey("house", "model", 1)) is not one
    assert healths.of(TargetKey("house", "model", 0)) is one
    assert healths.peek(TargetKey("house", "other")) is None
    assert [key.credential for key, _ in healths] == [1, 0]


@given(numbers=st.lists(st.integers(0, 30), max_size=80))
def test_no_more_targets_are_kept_than_allowed(numbers: list[int]) -> None:
    healths = Healths(most=8)
    for number in numbers:
        assert healths.of(_key(number)) is healths.peek(_key(number))
        assert len(healths) <= 8
    latest = list(dict.fromkeys(reversed(numbers)))[:8]
    assert all(healths.peek(_key(number)) for number in latest)


def test_idle_targets_are_forgotten_before_busy_or_broken_ones() -> None:
    healths = Healths(most=4)
    healths.of(_key(0)).begin(_NOW)
    healths.of(_key(1)).begin(_NOW).end(_NOW, _LIMITED)
    for number in range(2, 50):
        healths.of(_key(number))
    assert {key.model for key, _ in healths} == {"model0", "model1", "model48", "model49"}
