"""Where the two filters of a request meet: the plan the downstream filter made, by request id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from processor.topology import Model, Target
from processor.wire.json import Fields

MAX_AGE = 900.0
"""Seconds a plan is kept: longer than any vendor keeps a request waiting for its first byte (ten minutes)."""
MAX_BYTES = 512 * 1024 * 1024
"""Bodies kept at once: sixteen requests at the listener's largest. The oldest go first; theirs fail with a 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was decided about a request before its first attempt."""

    key: str
    """The gateway key's name."""
    model: Model
    targets: tuple[Target, ...]
    """In the order of attempts."""
    fields: Fields
    stream: bool
    include_usage: bool
    """Whether the client asked for the usage chunk."""
    size: int
    """Bytes of the request's body."""
    arrived: float
    """When the request's head reached us, in the ledger's clock."""
    spent: float
    """Seconds the gateway took to decide."""


class Ledger:
    """Plans by request id, bounded in age and bytes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._plans)

    @property
    def held_bytes(self) -> int:
        """Bytes of the bodies kept."""
        return self._bytes

    def put(self, request_id: str, plan: Plan) -> None:
        """Keep a plan until `discard`, or until it is too old or too much is kept."""
        self.discard(request_id)
        self._plans[request_id] = plan
        self._bytes += plan.size
        self._evict()

    def get(self, request_id: str) -> Plan | None:
        """The plan, if it is still kept."""
        return self._plans.get(request_id)

    def discard(self, request_id: str) -> None:
        """Forget a plan whose last attempt has ended."""
        if plan := self._plans.pop(request_id, None):
            self._bytes -= plan.size

    def _evict(self) -> None:
        oldest_allowed = self._clock() - MAX_AGE
        while self._plans:
            request_id, plan = next(iter(self._plans.items()))
            if plan.arrived >= oldest_allowed and (self._bytes <= MAX_BYTES or len(self._plans) == 1):
                return
            self.discard(request_id)
