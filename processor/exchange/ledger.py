"""Where the two filters of a request meet: the plan the downstream filter made, by request id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from processor.dialects.base import Asked
from processor.domain import Operation
from processor.exchange.answers import Tally
from processor.exchange.keeping import Entry
from processor.exchange.limiting import Reservation
from processor.exchange.pricing import Money
from processor.exchange.request_body import ReadBody
from processor.policy.health import TargetKey
from processor.policy.retry_budget import RetryBudget
from processor.topology import Model, Target
from processor.wire.json import JSON

MAX_AGE = 900.0
"""Seconds a plan is kept: longer than any vendor keeps a request waiting for its first byte (ten minutes)."""
MAX_BYTES = 512 * 1024 * 1024
"""Bodies kept at once: sixteen requests at the listener's largest. The oldest go first; theirs fail with a 503."""

GRACE = 0.1
"""Seconds by which Envoy waits longer than the processor, which can tell more of what was late."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that did not answer the client."""

    target: str
    status: int
    """The vendor's own, or of a success what it came to; 0 when there was no answer."""
    error: str
    ms: float | None
    """None where no connection was made: nobody tells us how long that was tried."""

    def told(self) -> JSON:
        """As the usage record has it."""
        told = {"target": self.target, "status": self.status, "error": self.error}
        return told if self.ms is None else {**told, "ms": round(self.ms, 1)}


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a client's stream ends whose vendor may keep its own open."""

    after: int
    """Bytes of the client's."""
    at: float
    """Until when the vendor may end it, in the ledger's clock."""
    broken: bool = False
    """Whether it is broken off there: what comes before may say why, but it is not whole."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """What was decided about a request before its first attempt, and what became of it since."""

    key: str
    """The gateway key's name."""
    model: Model
    targets: tuple[Target, ...]
    """In the order of attempts."""
    operation: Operation
    body: ReadBody
    size: int
    """Bytes of the request's body."""
    request_id: str
    now: int
    """When it came, in seconds since the epoch."""
    arrived: float
    """When the request's head reached us, in the ledger's clock."""
    spent: float
    """Seconds the gateway took to decide."""

    failed: dict[int, FailedAttempt] = field(default_factory=dict)
    """The attempts so far that another was to make good, by number, from 1."""
    waited: dict[int, float] = field(default_factory=dict)
    """The milliseconds that attempts took which ended without an answer, by number."""
    heard: int = 0
    """The last attempt that reached us: Envoy tells of none that finds no connection."""
    answered: bool = False
    """Whether the client's answer has begun, were it an error."""
    reservations: list[Reservation] = field(default_factory=list)
    """What it holds of limits."""
    relayed: bool = False
    """Whether the client's stream ends in the relay."""
    ending: Ending | None = None
    """Where the client's stream ends, once that is known before the vendor's end."""
    answered_by: str = ""
    """The label of the target whose answer the client gets."""
    tally: Tally | None = None
    """What that answer came to, as far as is known."""
    money: Money | None = None
    """What it cost, where that is known."""
    entry: Entry | None = None
    """Where its answer is kept."""
    cut: dict[str, str | float] = field(default_factory=dict)
    """What is to be recorded of an answer that was cut, unless another attempt follows."""
    parties: int = 1
    """The exchanges that still work on it: the listener's side, and the attempts under way."""
    not_before: dict[TargetKey, float] = field(default_factory=dict)
    """When a target that asked for a pause may be asked again, in the ledger's clock."""

    @property
    def silence(self) -> float | None:
        """Seconds after which Envoy gives an attempt up of which not even headers came: there is one limit for all of
        them. Once headers are held the attempt's own holds.
        """
        limits = [target.patience.first for target in self.targets]
        return max((limit for limit in limits if limit is not None), default=None) if None not in limits else None

    def begin(self, attempt: int) -> None:
        """An attempt has reached us: what the one before came to no longer counts."""
        self.heard = attempt
        self.answered, self.answered_by, self.ending = False, "", None
        self.tally, self.money, self.cut = None, None, {}

    def failure(self, attempt: int) -> FailedAttempt:
        """What a failed attempt came to: no connection, or a reset, if nothing else was heard of it."""
        target, ms = self.targets[attempt - 1], self.waited.get(attempt)
        return self.failed.get(attempt) or FailedAttempt(str(target), 0, "upstream_unavailable", ms)

    def asks_again(self, attempt: int) -> bool:
        """Whether an attempt is at a target that has failed this request before."""
        return self.targets[attempt - 1] in self.targets[: attempt - 1]

    def asked(self, target: Target) -> Asked:
        """The request as it is put to a target."""
        body = self.body
        return Asked(
            fields=body.fields,
            model=target.model,
            stream=body.stream,
            include_usage=body.include_usage,
            uploads=body.uploads,
            drop_params=self.model.drop_params,
            request_id=self.request_id,
            now=self.now,
        )


class Ledger:
    """Plans by request id, bounded in age and bytes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.on_over: list[Callable[[Plan], None]] = []
        """Told of every request that is over."""
        self.retries = RetryBudget()
        """Knows the live requests of each model."""
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._plans)

    @property
    def held_bytes(self) -> int:
        """Bytes of the bodies kept."""
        return self._bytes

    def put(self, request_id: str, plan: Plan) -> None:
        """Keep a plan until all who work on it have left, or until it is too old or too much is kept."""
        self._discard(request_id)
        self._plans[request_id] = plan
        self._bytes += plan.size
        self.retries.begin(plan.model.name)
        self._evict()

    def get(self, request_id: str) -> Plan | None:
        """The plan, if it is still kept."""
        return self._plans.get(request_id)

    def join(self, plan: Plan) -> None:
        """An attempt begins to work on it; it has to `leave`."""
        plan.parties += 1

    def leave(self, plan: Plan) -> None:
        """One of those who work on it has done so; with the last of them the request is over."""
        plan.parties -= 1
        if not plan.parties:
            self._discard(plan.request_id)
            for told in self.on_over:
                told(plan)

    def _discard(self, request_id: str) -> None:
        if plan := self._plans.pop(request_id, None):
            self._bytes -= plan.size
            self.retries.end(plan.model.name)

    def _evict(self) -> None:
        oldest_allowed = self._clock() - MAX_AGE
        while self._plans:
            request_id, plan = next(iter(self._plans.items()))
            if plan.arrived >= oldest_allowed and (self._bytes <= MAX_BYTES or len(self._plans) == 1):
                return
            self._discard(request_id)
