from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from processor.policy.circuit import UNCOUNTED, Circuit, CircuitSettings, State

_SETTINGS = CircuitSettings(
    consecutive_failures=3,
    failure_rate=0.5,
    minimum_requests=10,
    window=10.0,
    open_for=4.0,
    open_for_most=30.0,
    probe_timeout=20.0,
)


def _failing(circuit: Circuit, now: float, times: int = 1) -> None:
    for _ in range(times):
        circuit.failed(circuit.begin(now), now)


def _succeeding(circuit: Circuit, now: float, times: int = 1) -> None:
    for _ in range(times):
        circuit.succeeded(circuit.begin(now), now)


def _opened(now: float = 100.0) -> Circuit:
    circuit = Circuit(_SETTINGS)
    _failing(circuit, now, 3)
    return circuit


def test_failures_in_a_row_open_it() -> None:
    circuit = Circuit(_SETTINGS)
    _failing(circuit, 100.0, 2)
    assert circuit.state(100.0) is State.CLOSED
    _failing(circuit, 100.0)
    assert circuit.state(100.0) is State.OPEN
    assert circuit.why == "3 failures in a row"
    assert circuit.remaining(101.0) == 3.0


def test_a_success_begins_the_row_anew() -> None:
    circuit = Circuit(_SETTINGS)
    for _ in range(4):
        _failing(circuit, 100.0, 2)
        _succeeding(circuit, 100.0, 4)
    assert circuit.state(100.0) is State.CLOSED


def test_a_rate_of_failures_opens_it_without_a_row() -> None:
    circuit = Circuit(_SETTINGS)
    for _ in range(4):
        _succeeding(circuit, 100.0)
        _failing(circuit, 100.0)
    assert circuit.state(100.0) is State.CLOSED  # eight requests tell nothing yet
    _succeeding(circuit, 100.0)
    _failing(circuit, 100.0)
    assert circuit.state(100.0) is State.OPEN
    assert circuit.why == "5 of 10 requests failed within 10 s"


def test_the_rate_is_that_of_the_window_only() -> None:
    circuit = Circuit(_SETTINGS)
    _succeeding(circuit, 100.0, 50)
    for _ in range(4):
        _failing(circuit, 115.0)
        _succeeding(circuit, 115.0)
    assert circuit.counts(115.0) == (4, 4)
    assert circuit.counts(140.0) == (0, 0)


def test_old_failures_are_forgotten() -> None:
    circuit = Circuit(_SETTINGS)
    for second in range(0, 200, 5):  # a failure each five seconds among few successes: at most three a window
        _succeeding(circuit, 100.0 + second)
        _failing(circuit, 100.0 + second)
    assert circuit.state(300.0) is State.CLOSED


def test_half_open_it_admits_one_probe() -> None:
    circuit = _opened()
    assert not circuit.admits(103.9)
    assert circuit.state(104.0) is State.HALF_OPEN
    assert circuit.admits(104.0)
    probe = circuit.begin(104.0)
    assert probe != UNCOUNTED
    assert not circuit.admits(104.1)
    assert circuit.begin(104.1) == UNCOUNTED


def test_a_probe_that_succeeds_closes_it() -> None:
    circuit = _opened()
    circuit.succeeded(circuit.begin(104.0), 105.0)
    assert circuit.closed
    assert circuit.why == ""


def test_a_probe_closes_it_as_soon_as_it_has_begun_to_be_answered() -> None:
    circuit = _opened()
    probe = circuit.begin(104.0)
    circuit.began(probe, 105.0)
    assert circuit.closed
    circuit.failed(probe, 200.0)  # the stream was cut later: the circuit has moved on
    assert circuit.counts(105.0) == (1, 0)


def test_beginning_to_answer_is_no_success_while_closed() -> None:
    circuit = Circuit(_SETTINGS)
    for _ in range(3):
        ticket = circuit.begin(100.0)
        circuit.began(ticket, 100.0)
        circuit.failed(ticket, 100.0)
    assert circuit.state(100.0) is State.OPEN


def test_each_failed_probe_doubles_the_time_up_to_the_most() -> None:
    circuit = _opened()
    now, times = 100.0, []
    for _ in range(6):
        times.append(circuit.remaining(now))
        now += circuit.remaining(now)
        _failing(circuit, now)
    assert times == [4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_flapping_target_stays_open_longer_each_time() -> None:
    circuit = _opened()
    now, times = 100.0, []
    for _ in range(3):
        times.append(circuit.remaining(now))
        now += circuit.remaining(now)
        _succeeding(circuit, now)
        _failing(circuit, now + 1, 3)
        now += 1
    assert times == [4.0, 8.0, 16.0]


def test_one_that_stayed_closed_for_long_begins_anew() -> None:
    circuit = _opened()
    _failing(circuit, 104.0)
    assert circuit.remaining(104.0) == 8.0
    _succeeding(circuit, 112.0)
    _failing(circuit, 120.0, 3)
    assert circuit.remaining(120.0) == 4.0


def test_a_probe_that_never_reports_is_given_up() -> None:
    circuit = _opened()
    lost = circuit.begin(104.0)
    assert not circuit.admits(123.9)
    assert circuit.admits(124.0)
    probe = circuit.begin(124.0)
    circuit.succeeded(lost, 124.5)
    assert not circuit.closed
    circuit.succeeded(probe, 125.0)
    assert circuit.closed


def test_a_probe_whose_client_left_makes_room_for_another() -> None:
    circuit = _opened()
    circuit.released(circuit.begin(104.0))
    assert circuit.admits(104.1)


def test_what_was_sent_before_it_opened_changes_nothing() -> None:
    circuit = Circuit(_SETTINGS)
    early = [circuit.begin(99.0) for _ in range(10)]
    _failing(circuit, 100.0, 3)
    for ticket in early[:5]:
        circuit.succeeded(ticket, 101.0)
    for ticket in early[5:]:
        circuit.failed(ticket, 101.0)
    assert circuit.remaining(101.0) == 3.0
    assert circuit.state(104.0) is State.HALF_OPEN


def test_a_cooldown_opens_it_at_once_and_for_so_long() -> None:
    circuit = Circuit(_SETTINGS)
    circuit.failed(circuit.begin(100.0), 100.0, cooldown=60.0, why="rate limited")
    assert circuit.remaining(100.0) == 60.0
    assert circuit.why == "rate limited"
    assert circuit.state(160.0) is State.HALF_OPEN


def test_a_cooldown_is_not_shortened_by_another() -> None:
    circuit = Circuit(_SETTINGS)
    first, second, third = (circuit.begin(100.0) for _ in range(3))
    circuit.failed(first, 100.0, cooldown=60.0)
    circuit.failed(second, 100.0, cooldown=2.0)
    assert circuit.remaining(100.0) == 60.0
    circuit.failed(third, 100.0, cooldown=90.0)
    assert circuit.remaining(100.0) == 90.0


def test_a_cooldown_does_not_count_as_a_failing_target() -> None:
    circuit = Circuit(_SETTINGS)
    now = 100.0
    for _ in range(5):
        circuit.failed(circuit.begin(now), now, cooldown=1.0)
        now += 1.0
        circuit.succeeded(circuit.begin(now), now)
    _failing(circuit, now, 3)
    assert circuit.remaining(now) == 4.0


def test_what_another_process_found_out_opens_it() -> None:
    circuit = Circuit(_SETTINGS)
    circuit.hold(100.0, 0.0, "nothing")
    assert circuit.closed
    circuit.hold(100.0, 7.0, "rate limited elsewhere")
    assert circuit.remaining(100.0) == 7.0
    circuit.hold(100.0, 3.0, "rate limited elsewhere")
    assert circuit.remaining(100.0) == 7.0


def test_a_success_sent_to_an_open_circuit_does_not_close_it() -> None:
    circuit = _opened()
    ticket = circuit.begin(101.0)
    assert ticket == UNCOUNTED
    circuit.succeeded(ticket, 102.0)
    circuit.failed(ticket, 102.0)
    assert circuit.remaining(102.0) == 2.0


class CircuitMachine(RuleBasedStateMachine):
    """Any interleaving of requests, whose ends come late, twice never, and in any order."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit(_SETTINGS)
        self.now = 1000.0
        self.cooled_until = 0.0
        self.probes: dict[int, float] = {}
        """Those under way, with the time they were sent."""

    @rule(seconds=st.floats(min_value=0.01, max_value=40.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.circuit.closed)
    @rule()
    def its_time_is_over(self) -> None:
        self.now += self.circuit.remaining(self.now)
        assert self.circuit.state(self.now) is State.HALF_OPEN

    @rule(target=tickets)
    def a_request_is_sent(self) -> object:
        state, admits = self.circuit.state(self.now), self.circuit.admits(self.now)
        ticket = self.circuit.begin(self.now)
        assert (ticket != UNCOUNTED) == admits
        if state is State.OPEN:
            assert not admits
        if state is State.HALF_OPEN and admits:
            young = [sent for sent in self.probes.values() if self.now - sent < _SETTINGS.probe_timeout]
            assert not young, "a second probe was let through"
            self.probes[ticket] = self.now
        return multiple(ticket)

    @rule(ticket=consumes(tickets))
    def it_succeeds(self, ticket: int) -> None:
        was = self.circuit.state(self.now)
        self.circuit.succeeded(ticket, self.now)
        if was is State.OPEN:
            assert self.circuit.state(self.now) is State.OPEN
        if was is State.HALF_OPEN and self.circuit.closed:
            assert ticket in self.probes
        self.probes.pop(ticket, None)

    @rule(ticket=consumes(tickets))
    def it_fails(self, ticket: int) -> None:
        was, until = self.circuit.state(self.now), self.circuit.remaining(self.now)
        self.circuit.failed(ticket, self.now)
        if was is State.OPEN:
            assert self.circuit.remaining(self.now) == until
        assert self.circuit.remaining(self.now) <= max(until, _SETTINGS.open_for_most) + 1e-6
        if was is not State.CLOSED:
            assert not self.circuit.closed
        self.probes.pop(ticket, None)

    @rule(ticket=consumes(tickets), seconds=st.floats(min_value=0.5, max_value=100.0))
    def it_is_limited(self, ticket: int, seconds: float) -> None:
        self.circuit.failed(ticket, self.now, cooldown=seconds, why="rate limited")
        self.cooled_until = max(self.cooled_until, self.now + seconds)
        self.probes.clear()  # it has opened: a probe under way is that no more

    @rule(ticket=consumes(tickets))
    def its_client_leaves(self, ticket: int) -> None:
        was = self.circuit.state(self.now)
        self.circuit.released(ticket)
        assert self.circuit.state(self.now) is was
        self.probes.pop(ticket, None)

    @invariant()
    def a_cooldown_is_kept(self) -> None:
        if self.now < self.cooled_until - 1e-6:
            assert self.circuit.state(self.now) is State.OPEN

    @invariant()
    def it_says_why_it_is_open(self) -> None:
        assert bool(self.circuit.why) is not self.circuit.closed

    @invariant()
    def it_counts_no_less_than_nothing(self) -> None:
        assert min(self.circuit.counts(self.now)) >= 0

    def teardown(self) -> None:
        """Left alone, any circuit closes by itself with one good answer."""
        self.now += max(self.circuit.remaining(self.now), 0.0) + _SETTINGS.probe_timeout
        self.circuit.succeeded(self.circuit.begin(self.now), self.now)
        assert self.circuit.closed


TestCircuitMachine = CircuitMachine.TestCase
TestCircuitMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("rate", [0.2, 0.8])
def test_random_failures_open_it_only_above_the_rate(rate: float) -> None:
    """A fixed pattern of failures, spread evenly: never three in a row below the rate."""
    circuit = Circuit(CircuitSettings(consecutive_failures=1000, failure_rate=0.5, minimum_requests=20, window=10.0))
    due = 0.0
    for number in range(500):
        now = 1000.0 + number * 0.1
        due += rate
        ticket = circuit.begin(now)
        if due >= 1:
            due -= 1
            circuit.failed(ticket, now)
        else:
            circuit.succeeded(ticket, now)
        if not circuit.closed:
            break
    assert circuit.closed is (rate < 0.5)
