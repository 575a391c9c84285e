"""Attempts of which Envoy tells nothing, since they found no connection or were reset before an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from processor.exchange.ledger import Plan
from processor.policy.health import Healths
from processor.policy.verdict import UNREACHED, judge
from processor.topology import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """Holds them against their targets all the same."""

    healths: Healths
    circuits: bool
    """Whether failures open circuits."""
    clock: Callable[[], float]

    def note(self, plan: Plan, *, before: int) -> None:
        """Attempt `before` begins: of those ahead of it, the ones that nothing was heard of have failed."""
        for number in range(1, before):
            if number not in plan.failed:
                plan.failed[number] = plan.failure(number)
                self._fail(plan.targets[number - 1])

    def note_last(self, plan: Plan) -> None:
        """The request is over: if it never got an answer, nor as far as its next target, that could not be reached.

        Or the client left while Envoy was connecting: not worth telling apart, since one answer makes up for it.
        """
        if not plan.answered and plan.heard == len(plan.failed) < len(plan.targets):
            self._fail(plan.targets[plan.heard])

    def _fail(self, target: Target) -> None:
        now = self.clock()
        self.healths.of(target.key).begin(now).end(now, judge(UNREACHED) if self.circuits else None)
