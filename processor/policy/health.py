"""How each target does: requests under way, time to the first token, its circuit. Pure: `now` is an argument."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

from processor.policy.circuit import DEFAULT_CIRCUIT, Circuit, CircuitSettings, State
from processor.policy.verdict import ANSWERED, Blame, Verdict

_HALF_LIFE = 15.0
"""Seconds after which a time to the first token weighs half as much as a new one."""
_FORGOTTEN = 4 * _HALF_LIFE
"""Seconds without a new one after which none is known: vendors are fast and slow by the minute."""
_MOST_TARGETS = 4096
"""Targets whose health is kept: clients may name any model of a provider. Idle ones go first."""
_LOOKED_AT = 16
"""Of the targets that were not asked for longest, how many are looked at for an idle one."""

_FAILED = frozenset({Blame.TARGET, Blame.LIMIT, Blame.CREDENTIAL})


class TargetKey(NamedTuple):
    """What tells targets apart: several keys of one provider are several targets."""

    provider: str
    model: str
    credential: int = 0
    """The number of the provider's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSnapshot:
    """A target's health at one time, to be shown."""

    state: State
    why: str
    """Why the circuit is open; empty while it is closed."""
    remaining: float
    """Seconds until an open circuit lets a probe through."""
    in_flight: int
    ttft: float | None
    """Seconds; None while unknown."""
    succeeded: int
    """Requests within the circuit's window."""
    failed: int


class Health:
    """One target's."""

    __slots__ = ("_sampled_at", "_sum", "_weight", "circuit", "ends_streams", "in_flight")

    def __init__(
        self, settings: CircuitSettings = DEFAULT_CIRCUIT, on_change: Callable[[Circuit], None] | None = None
    ) -> None:
        self.circuit = Circuit(settings, on_change)
        self.in_flight = 0
        """Attempts under way."""
        self.ends_streams = False
        """Whether the last stream ended with its last event, as far as was seen."""
        self._sum = 0.0
        self._weight = 0.0
        self._sampled_at = 0.0

    def begin(self, now: float) -> Attempt:
        """An attempt is sent; its `end` must be called, whatever comes of it."""
        self.in_flight += 1
        return Attempt(self, self.circuit.begin(now), now)

    def ttft(self, now: float) -> float | None:
        """Seconds to the first token, recent ones weighing most; None when none is recent."""
        return None if not self._weight or now - self._sampled_at > _FORGOTTEN else self._sum / self._weight

    def sample(self, seconds: float, now: float) -> None:
        """Count one time to the first token."""
        fade = 0.5 ** (max(0.0, now - self._sampled_at) / _HALF_LIFE)
        self._sum = self._sum * fade + seconds
        self._weight = self._weight * fade + 1.0
        self._sampled_at = now

    def snapshot(self, now: float) -> HealthSnapshot:
        """All of it."""
        circuit = self.circuit
        succeeded, failed = circuit.counts(now)
        return HealthSnapshot(
            state=circuit.state(now),
            why=circuit.why,
            remaining=circuit.remaining(now),
            in_flight=self.in_flight,
            ttft=self.ttft(now),
            succeeded=succeeded,
            failed=failed,
        )


class Attempt:
    """One attempt at a target, on its way."""

    __slots__ = ("_begun", "_health", "_over", "_sent_at", "_ticket")

    def __init__(self, health: Health, ticket: int, now: float) -> None:
        self._health = health
        self._ticket = ticket
        self._sent_at = now
        self._begun = False
        self._over = False

    def first_content(self, now: float) -> None:
        """The first content has come. Calling it again changes nothing."""
        if self._begun or self._over:
            return
        self._begun = True
        self._health.sample(now - self._sent_at, now)
        self._health.circuit.began(self._ticket, now)

    def stream_over(self, *, ended: bool) -> None:
        """Its stream was whole, and the vendor ended it, or left it open."""
        self._health.ends_streams = ended

    def end(self, now: float, verdict: Verdict | None = ANSWERED, why: str = "") -> None:
        """It is over; None: nothing was learnt of the target, since the client left. Only the first call counts.

        `why` is what `explain` says if the circuit opens for it, in a few words.
        """
        if self._over:
            return
        self._over = True
        health = self._health
        health.in_flight -= 1
        if verdict is None:
            health.circuit.released(self._ticket)
        elif verdict.blame in _FAILED:
            self._failed(verdict, now, why)
        else:
            health.circuit.succeeded(self._ticket, now)

    def _failed(self, verdict: Verdict, now: float, why: str) -> None:
        health = self._health
        if verdict.blame is Blame.TARGET and not self._begun:
            waited = now - self._sent_at
            known = health.ttft(now)
            if known is not None and waited > known:  # what never came took longer than this
                health.sample(waited, now)
        health.circuit.failed(self._ticket, now, cooldown=verdict.cooldown, why=why or _WHY[verdict.blame])


_WHY = {
    Blame.TARGET: "",
    Blame.LIMIT: "rate limited",
    Blame.CREDENTIAL: "our key was rejected, or its account is out of funds",
}


class Healths:
    """By target, bounded. Of those over the limit idle ones with a closed circuit go first."""

    __slots__ = ("_healths", "_most", "_settings", "on_change")

    def __init__(self, settings: CircuitSettings = DEFAULT_CIRCUIT, *, most: int = _MOST_TARGETS) -> None:
        self._settings = settings
        self._most = most
        self.on_change: list[Callable[[TargetKey, Circuit], None]] = []
        """Told of every circuit that opens or closes by what was seen here."""
        self._healths: OrderedDict[TargetKey, Health] = OrderedDict()

    def __len__(self) -> int:
        return len(self._healths)

    def __iter__(self) -> Iterator[tuple[TargetKey, Health]]:
        return iter(self._healths.items())

    def of(self, key: TargetKey) -> Health:
        """A target's health; that of one which was never asked is good."""
        health = self._healths.get(key)
        if health is not None:
            self._healths.move_to_end(key)
            return health
        while len(self._healths) >= self._most:
            del self._healths[self._dispensable()]
        return self._healths.setdefault(key, Health(self._settings, partial(self._changed, key)))

    def peek(self, key: TargetKey) -> Health | None:
        """A target's health if any is kept, without making it more worth keeping."""
        return self._healths.get(key)

    def _changed(self, key: TargetKey, circuit: Circuit) -> None:
        for told in self.on_change:
            told(key, circuit)

    def _dispensable(self) -> TargetKey:
        oldest = list(islice(self._healths.items(), _LOOKED_AT))
        idle = (key for key, health in oldest if not health.in_flight and not health.circuit.why)
        return next(idle, oldest[0][0])
