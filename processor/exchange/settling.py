"""Settles the reservations of requests that are over, beside those that are not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from processor.domain import Usage
from processor.exchange.gate import Passage
from processor.exchange.ledger import Plan
from processor.exchange.limiting import Limiter, Reservation, Used
from processor.exchange.pricing import Money
from processor.ports import StoreError

log = logging.getLogger(__name__)


class Settling:
    """Called with each plan whose request is over."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, plan: Plan) -> None:
        """Give back what it did not use, soon."""
        if plan.reservations:
            used = self._used(plan.tally.usage if plan.tally else Usage(), plan.money, plan.answered_by)
            self._begin(self._settle_all(plan.reservations, used))

    def unused(self, reservation: Reservation) -> None:
        """Give back what a request did not need that nobody was asked."""
        self._begin(self._settle_all([reservation], Used()))

    def passed(self, passage: Passage) -> None:
        """The same for a request in passthrough."""
        if passage.reservations:
            self._begin(self._settle_all(passage.reservations, self._used(passage.usage, passage.money, "")))

    async def finish(self) -> None:
        """Wait for those that are under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, settling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(settling)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _used(self, usage: Usage, money: Money | None, by: str) -> Used:
        tokens = usage.input_tokens + usage.output_tokens
        return Used(tokens=tokens, millionths=self._limiter.prices.spent(money), by=by)

    async def _settle_all(self, reservations: list[Reservation], used: Used) -> None:
        try:
            await self._limiter.settle(reservations, used)
        except StoreError as error:
            log.warning("what a request did not use of its limits could not be given back: %s", error)
