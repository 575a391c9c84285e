"""A target's circuit: closed while it answers, open while it does not, half-open for the request that finds out. Pure.

    closed ──── failures in a row, a rate of failures, a cooldown ────► open
       ▲                                                                 │ its time is over
       └──── the probe succeeds ──── half-open ◄─────────────────────────┘
                                         └──── the probe fails: open for twice as long

Whoever asks a target begins with `begin` and ends with `succeeded`, `failed` or `released`, and the ticket that `begin`
gave. Tickets keep what was sent before the circuit opened from closing it, or from opening it once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from processor.policy.window import Window


class State(StrEnum):
    """Whether a target is asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitSettings:
    """When a circuit opens, and for how long."""

    consecutive_failures: int = 5
    failure_rate: float = 0.5
    """Of the requests in the window."""
    minimum_requests: int = 20
    """In the window, for their rate to tell anything."""
    window: float = 30.0
    """Seconds."""
    open_for: float = 5.0
    """Seconds; twice as long each time that a circuit opens soon after it closed."""
    open_for_most: float = 120.0
    """Seconds."""
    probe_timeout: float = 60.0
    """Seconds after which a probe that did not report back is given up, and another may follow."""


DEFAULT_CIRCUIT = CircuitSettings()

UNCOUNTED = 0
"""The ticket of a request sent to an open circuit for want of better: what comes of it changes nothing."""


class Circuit:
    """One target's."""

    __slots__ = (
        "_closed_at",
        "_failures",
        "_on_change",
        "_opened",
        "_opened_for",
        "_probe_at",
        "_settings",
        "_ticket",
        "_until",
        "_window",
        "why",
    )

    def __init__(
        self, settings: CircuitSettings = DEFAULT_CIRCUIT, on_change: Callable[[Circuit], None] | None = None
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        """Called when it opens or closes by what was seen here; not by what another process has found out."""
        self._window = Window(settings.window)
        self._ticket = 1
        """Of those whose report counts; a new one with each change."""
        self._failures = 0
        """In a row."""
        self._until: float | None = None
        """When the circuit is half-open; None while it is closed."""
        self._probe_at: float | None = None
        """When the probe under way was sent."""
        self._opened = 0
        """Times in a row that it opened soon after it closed."""
        self._opened_for = 0.0
        self._closed_at = 0.0
        self.why = ""
        """Why it is open, in words; empty while it is closed."""

    @property
    def closed(self) -> bool:
        """Whether it is closed: nothing is known against the target."""
        return self._until is None

    def state(self, now: float) -> State:
        """What it is."""
        if self._until is None:
            return State.CLOSED
        return State.OPEN if now < self._until else State.HALF_OPEN

    def admits(self, now: float) -> bool:
        """Whether a request should be sent: it is closed, or half-open and wants a probe."""
        return self._until is None or (now >= self._until and not self._probing(now))

    def remaining(self, now: float) -> float:
        """Seconds until an open circuit is half-open; 0 when it is not open."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def begin(self, now: float) -> int:
        """A request is sent: the ticket to report its end with.

        While half-open the first one is the probe. A request may be sent to any circuit, if there is no better;
        where `admits` is false its ticket is `UNCOUNTED`.
        """
        if self._until is None:
            return self._ticket
        if not self.admits(now):
            return UNCOUNTED
        self._probe_at = now
        self._ticket += 1
        return self._ticket

    def succeeded(self, ticket: int, now: float) -> None:
        """The target answered, if only to refuse what the client asked."""
        if ticket != self._ticket:
            return
        self._failures = 0
        if self._until is not None:
            self._close(now)
        self._window.hit(now)

    def failed(self, ticket: int, now: float, *, cooldown: float | None = None, why: str = "") -> None:
        """The target did not answer, or is to be left alone for `cooldown` seconds, which holds for any ticket.

        `why` is for the circuit that opens for it.
        """
        counts = ticket == self._ticket
        if cooldown:
            self._cool(now, cooldown, why or "asked to be left alone", probe=counts)
            return
        if not counts:
            return
        if self._until is not None:
            self._open(now, why or "the probe failed")
            return
        self._failures += 1
        self._window.miss(now)
        if reason := self._unbearable():
            self._open(now, reason)

    def began(self, ticket: int, now: float) -> None:
        """The target has begun to answer: of a probe that is enough, and the rest may take minutes."""
        if self._until is not None:
            self.succeeded(ticket, now)

    def released(self, ticket: int) -> None:
        """The request ended without telling anything of the target: a client that left."""
        if ticket == self._ticket and self._until is not None:
            self._probe_at = None

    def hold(self, now: float, seconds: float, why: str) -> None:
        """Open at once for so long, or longer if it is: what another process has found out."""
        if seconds > 0 and (self._until is None or now + seconds > self._until):
            self._shut(now + seconds, why)

    def free(self, now: float) -> None:
        """Let a probe through at once: another process has had an answer."""
        if self._until is not None and now < self._until:
            self._until = now

    def counts(self, now: float) -> tuple[int, int]:
        """Successes and failures in the window."""
        self._window.advance(now)
        return self._window.hits, self._window.misses

    def _probing(self, now: float) -> bool:
        return self._probe_at is not None and now - self._probe_at < self._settings.probe_timeout

    def _unbearable(self) -> str:
        """Why a closed circuit has to open, if it has."""
        settings = self._settings
        if self._failures >= settings.consecutive_failures:
            return f"{self._failures} failures in a row"
        failed = self._window.misses
        total = self._window.hits + failed
        if total >= settings.minimum_requests and failed >= settings.failure_rate * total:
            return f"{failed} of {total} requests failed within {settings.window:g} s"
        return ""

    def _open(self, now: float, why: str) -> None:
        """Open for longer each time, until it has once stayed closed for as long as it was open before."""
        settings = self._settings
        forgiven = self._until is None and now - self._closed_at >= self._opened_for
        self._opened = 1 if forgiven else self._opened + 1
        doubled = settings.open_for * 2.0 ** min(self._opened - 1, 32)
        self._opened_for = min(doubled, settings.open_for_most)
        self._shut(now + self._opened_for, why)
        self._tell()

    def _cool(self, now: float, seconds: float, why: str, *, probe: bool) -> None:
        """Open for as long as was asked; it says nothing of how long to wait the next time."""
        if self._until is None or probe or now + seconds > self._until:
            self._shut(now + seconds, why)
            self._tell()

    def _shut(self, until: float, why: str) -> None:
        self._until = until
        self._probe_at = None
        self._failures = 0
        self._ticket += 1
        self._window.clear()
        self.why = why

    def _close(self, now: float) -> None:
        self._until = None
        self._probe_at = None
        self._closed_at = now
        self._ticket += 1
        self.why = ""
        self._tell()

    def _tell(self) -> None:
        if self._on_change:
            self._on_change(self)
