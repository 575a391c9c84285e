"""What a worker knows of a target: how busy and how quick it is, and a circuit that opens when it fails. Pure.

Times are seconds of one monotonic clock, and come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

_PROBE = 60.0
"""Seconds after which a probe of which nothing was heard is given up."""
_SMOOTHING = 0.3
"""Of the latest time to first content in the average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """When a circuit opens, and for how long."""

    failures: int = 5
    """In a row: fewer are a vendor's bad moment, which the next target makes good anyway. 0: it never opens."""
    open_for: float = 10.0
    """Seconds, the first time; twice as long each time the probe fails."""
    longest: float = 300.0
    """Seconds at most, whatever a vendor asks for: a probe costs one request."""


class Health:
    """One target's."""

    __slots__ = ("_circuit", "_failures", "_open_for", "_open_until", "_probe_until", "in_flight", "latency")

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self.in_flight = 0
        """Attempts under way."""
        self.latency: float | None = None
        """Seconds to the first content, averaged with the latest weighing most; None before the first."""
        self._failures = 0
        self._open_for = circuit.open_for
        self._open_until: float | None = None
        """When an open circuit may be probed; None while it is closed."""
        self._probe_until = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether nothing speaks against the target."""
        return self._open_until is None

    def may_be_tried(self, now: float) -> bool:
        """Whether the circuit is closed, or has been open for long enough and nobody probes it yet."""
        return self._open_until is None or (now >= self._open_until and now >= self._probe_until)

    def probe(self, now: float) -> None:
        """One request is sent though the circuit is open; others wait for what comes of it."""
        self._probe_until = now + _PROBE

    def succeeded(self, *, latency: float) -> None:
        """The first content came, after so many seconds: the circuit closes."""
        known = self.latency
        self.latency = latency if known is None else known + _SMOOTHING * (latency - known)
        self._failures = 0
        self._open_for = self._circuit.open_for
        self._open_until = None
        self._probe_until = 0.0

    def failed(self, now: float, *, cooldown: float = 0.0) -> None:
        """An attempt failed by the target's fault; with a `cooldown` it is not to be tried for so long."""
        self._failures += 1
        circuit = self._circuit
        if not circuit.failures:
            return
        if self._open_until is not None and now >= self._open_until:  # its probe failed
            self._open_for = min(self._open_for * 2, circuit.longest)
            self._open(now, max(self._open_for, cooldown))
        elif self._open_until is None and self._failures >= circuit.failures:
            self._open(now, max(self._open_for, cooldown))
        elif cooldown:
            self._open(now, cooldown)

    def _open(self, now: float, seconds: float) -> None:
        self._open_until = max(self._open_until or 0.0, now + min(seconds, self._circuit.longest))
        self._probe_until = 0.0


class Healths:
    """Every target's, by its name. Those that clients name (`provider/model`) come and go: the oldest are forgotten."""

    _MOST = 4096

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._known: dict[str, Health] = {}

    def of(self, target: str) -> Health:
        """What is known of a target."""
        health = self._known.get(target)
        if health is None:
            if len(self._known) >= self._MOST:
                del self._known[next(iter(self._known))]
            health = self._known[target] = Health(self._circuit)
        return health
