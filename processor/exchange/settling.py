"""Settles the reservations of requests that are over, beside those that are not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from processor.exchange.ledger import Plan
from processor.exchange.limiting import Limiter, Used
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
            self._begin(self._settle(plan))

    async def finish(self) -> None:
        """Wait for those that are under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, settling: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(settling)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, plan: Plan) -> None:
        usage = plan.tally.usage if plan.tally else None
        used = Used(
            tokens=usage.input_tokens + usage.output_tokens if usage else 0,
            millionths=self._limiter.prices.spent(plan.money),
            by=plan.answered_by,
        )
        try:
            await self._limiter.settle(plan.reservations, used)
        except StoreError as error:
            log.warning("what a request did not use of its limits could not be given back: %s", error)
