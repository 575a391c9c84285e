"""What an operator should know of targets: a circuit that opens or closes, a credential that is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable

from processor.errors import UpstreamError
from processor.policy.circuit import Circuit
from processor.policy.health import TargetKey
from processor.topology import Target

log = logging.getLogger(__name__)

_EVERY = 300.0
"""Seconds between two alerts about one target's credential: as long as it is left alone."""
_KNOWN = 4096


class Alerts:
    """One line for each change, and no more."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._alerted: dict[TargetKey, float] = {}

    def circuit(self, key: TargetKey, circuit: Circuit) -> None:
        """A target's circuit has opened or closed."""
        name = f"{key.provider}/{key.model}" + (f"#{key.credential + 1}" if key.credential else "")
        if circuit.closed:
            log.warning("%s answers again", name)
        else:
            log.warning("%s is left alone for %.1f s: %s", name, circuit.remaining(self._clock()), circuit.why)

    def credential(self, target: Target, error: UpstreamError) -> None:
        """A vendor refuses the gateway's key, or serves its account no longer. The vendor's words may hold the key."""
        now = self._clock()
        if now - self._alerted.get(target.key, -_EVERY) < _EVERY:
            return
        if len(self._alerted) >= _KNOWN:
            self._alerted.clear()
        self._alerted[target.key] = now
        log.error("%s: the vendor refuses our credential or account (%d, %s)", target.label, error.status, error.code)
