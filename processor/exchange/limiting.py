"""Takes what a request needs of its limits before it is sent, and settles it when it is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from processor.config import KeyConfig
from processor.errors import BudgetSpent, GatewayError, LimitsUnavailable, RateLimited
from processor.exchange.choosing import Question
from processor.exchange.pricing import Prices
from processor.policy.estimate import GENERATING, READING
from processor.policy.limit_headers import HeaderPairs, in_words, limit_headers
from processor.policy.limits import Admission, Charge, Limit, Period, Standing, Taken, Unit
from processor.ports import LimitStore
from processor.topology import KeyLimits, Model, Target

_UNSAID = 1024
"""Tokens reserved for an answer of which the client does not say how long it may be."""
_LEASE = 900.0
"""Seconds after which a request that nobody settles is no longer counted as under way."""
_TARGET = "target:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a request is expected to take."""

    input_tokens: int
    output_tokens: int
    bounded: bool
    """Whether the client itself has said how long the answer may be."""

    @property
    def tokens(self) -> int:
        """Both."""
        return self.input_tokens + self.output_tokens

    @staticmethod
    def of(question: Question) -> Estimate:
        """By the bytes of the prompt, and `max_tokens`. Pictures and sound are not counted in tokens."""
        if question.operation not in GENERATING | READING:
            return Estimate(input_tokens=0, output_tokens=0, bounded=True)
        read = question.prompt_tokens
        if question.operation in READING:
            return Estimate(input_tokens=read, output_tokens=0, bounded=True)
        wanted = question.answer_tokens
        return Estimate(
            input_tokens=read, output_tokens=_UNSAID if wanted is None else wanted, bounded=wanted is not None
        )


@dataclass(slots=True, kw_only=True)
class Reservation:
    """What a request holds until it is settled."""

    lease: str
    estimate: Estimate
    taken: tuple[Taken, ...] = ()
    headers: HeaderPairs = ()
    """What the client is told of its limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a request came to."""

    tokens: int = 0
    millionths: int = 0
    """Of a dollar."""
    by: str = ""
    """The label of the target that answered; empty when none did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiter:
    """The limits of keys, teams, models and targets, and the store that counts them."""

    store: LimitStore
    keys: KeyLimits
    prices: Prices

    async def admit(
        self, request_id: str, key: KeyConfig, model: Model, targets: Sequence[Target], question: Question
    ) -> tuple[tuple[Target, ...], Reservation | None]:
        """The targets, one with room for the request first, and what was taken; None where nothing limits it.

        Raises:
            RateLimited, BudgetSpent: a limit stands in the way.
            LimitsUnavailable: the store cannot be asked, and the model wants that refused.
        """
        common = (*self.keys.of(key), *model.limits)
        if not common and not any(target.limits for target in targets):
            return tuple(targets), None
        estimate = Estimate.of(question)
        admission, targets = await self._first_with_room(request_id, common, targets, estimate)
        if admission.refused and admission.refused.limit.reroutes:
            cheapest = self.prices.cheapest(targets)
            rest = [limit for limit in common if not limit.reroutes]
            if cheapest:
                admission, targets = await self._first_with_room(request_id, rest, cheapest, estimate)
        if admission.refused:
            raise _refusal(admission, estimate)
        reservation = Reservation(
            lease=request_id,
            estimate=estimate,
            taken=admission.taken,
            headers=limit_headers(admission.standings),
        )
        if admission.degraded and model.deny_uncounted:
            await self.settle([reservation], Used())
            raise LimitsUnavailable("The gateway cannot count its limits now; try again.")
        return tuple(targets), reservation

    async def admit_size(self, request_id: str, key: KeyConfig, estimate: Estimate) -> Reservation | None:
        """The same for a request of which only its size is known: by its key's limits, but for money.

        Raises:
            RateLimited: a limit stands in the way.
        """
        limits = [limit for limit in self.keys.of(key) if limit.unit is not Unit.MONEY]
        if not limits:
            return None
        charges = [Charge(limit=limit, cost=_count(limit, estimate)) for limit in limits]
        admission = await self.store.acquire(charges, lease=request_id, lease_for=_LEASE)
        if admission.refused:
            raise _refusal(admission, estimate)
        return Reservation(lease=request_id, estimate=estimate, taken=admission.taken)

    async def extend(self, first: Reservation, attempt: int, target: Target) -> Reservation | None:
        """Take what one more attempt needs of its own target's limits; it is not given up for want of it."""
        lease = f"{first.lease}#{attempt}"
        charges = self._charges(target.limits, first.estimate, target)
        admission = await self.store.acquire(charges, lease=lease, lease_for=_LEASE)
        if admission.refused:
            return None
        return Reservation(lease=lease, estimate=first.estimate, taken=admission.taken)

    async def settle(self, reservations: Iterable[Reservation], used: Used) -> None:
        """Give back what was not used, and count what was used beyond."""
        for reservation in reservations:
            actual = {taken.charge.limit.name: _actual(taken.charge.limit, used) for taken in reservation.taken}
            await self.store.settle(reservation.taken, actual, lease=reservation.lease)

    async def _first_with_room(
        self, request_id: str, common: Sequence[Limit], targets: Sequence[Target], estimate: Estimate
    ) -> tuple[Admission, tuple[Target, ...]]:
        """Ask with each target's own limits, until it is none of these that stand in the way."""
        admission = Admission()
        for first in dict.fromkeys(targets):
            charges = self._charges((*common, *first.limits), estimate, first)
            admission = await self.store.acquire(charges, lease=request_id, lease_for=_LEASE)
            if admission.refused is None:
                return admission, (first, *_without(first, targets))
            if not admission.refused.limit.subject.startswith(_TARGET):
                break
        return admission, tuple(targets)

    def _charges(self, limits: Iterable[Limit], estimate: Estimate, target: Target) -> list[Charge]:
        return [Charge(limit=limit, cost=self._cost(limit, estimate, target)) for limit in limits]

    def _cost(self, limit: Limit, estimate: Estimate, target: Target) -> int:
        if limit.unit is not Unit.MONEY:
            return _count(limit, estimate)
        cost = self.prices.millionths(target, estimate.input_tokens, estimate.output_tokens)
        return cost if estimate.bounded else min(cost, max(limit.amount, 1))


def _count(limit: Limit, estimate: Estimate) -> int:
    if limit.unit is Unit.REQUESTS:
        return 1
    # A guess must not refuse for ever what the client never asked for.
    return estimate.tokens if estimate.bounded else min(estimate.tokens, max(limit.amount, 1))


def _without(first: Target, targets: Sequence[Target]) -> tuple[Target, ...]:
    """The others in their order: the first goes to the front once."""
    place = targets.index(first)
    return (*targets[:place], *targets[place + 1 :])


def _actual(limit: Limit, used: Used) -> int:
    if limit.period is Period.NOW:
        return 0
    if limit.unit is Unit.REQUESTS:
        return 1
    if limit.subject.startswith(_TARGET) and limit.subject != _TARGET + used.by:
        return 0
    return used.tokens if limit.unit is Unit.TOKENS else used.millionths


def _refusal(admission: Admission, estimate: Estimate) -> GatewayError:
    standing, wait = admission.refused, admission.retry_after
    assert standing is not None  # noqa: S101 - the caller has looked
    limit = standing.limit
    headers = limit_headers(admission.standings)
    if wait is not None:
        headers = (("retry-after", str(ceil(wait))), ("retry-after-ms", str(ceil(wait * 1000))), *headers)
    if limit.unit is Unit.MONEY:
        return BudgetSpent(f"The budget of {in_words(limit)} is spent.", headers=headers)
    return RateLimited(_words(standing, wait, estimate), type=str(limit.unit), headers=headers)


def _words(standing: Standing, wait: float | None, estimate: Estimate) -> str:
    limit = standing.limit
    if wait is not None:
        return f"Rate limit reached: {in_words(limit)}. Try again in {wait:.1f} s."
    if limit.unit is Unit.TOKENS and estimate.tokens > limit.amount:
        return f"The request needs about {estimate.tokens} tokens, more than all of {in_words(limit)}."
    return f"Rate limit reached: {in_words(limit)}."
