"""Limits that are counted elsewhere, and here while nobody answers there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from processor.policy.limits import Admission, Charge, Limit, Standing, Taken
from processor.ports import LimitStore, StoreError

log = logging.getLogger(__name__)

_RETRY_EVERY = 1.0
"""Seconds between tries, each by one request, while the store does not answer."""
_UNHURRIED = 1.0
"""Seconds for what no request waits for."""


class FallbackLimits:
    """Asks the primary store with a bounded wait; on an error or a timeout its local stand-in decides for a while."""

    def __init__(
        self,
        primary: LimitStore,
        local: LimitStore,
        *,
        timeout: float,
        clock: Callable[[], float],
        retry_every: float = _RETRY_EVERY,
    ) -> None:
        """`timeout` and `retry_every` in seconds, by `clock`, which never goes back."""
        self._primary = primary
        self._local = local
        self._timeout = timeout
        self._clock = clock
        self._retry_every = retry_every
        self._retry_at = 0.0
        self._late: set[asyncio.Task[Admission]] = set()
        self.degraded = False
        """Whether the primary could not be asked the last time."""
        self.fallbacks = 0
        """Requests that were decided here, ever."""

    async def acquire(self, charges: Sequence[Charge], *, lease: str, lease_for: float) -> Admission:
        """Take all, or nothing; `degraded` in the answer tells that it was decided here."""
        if not self._is_asked():
            return await self._acquire_here(charges, lease=lease, lease_for=lease_for)
        trying = self.degraded
        asking = asyncio.ensure_future(self._primary.acquire(charges, lease=lease, lease_for=lease_for))
        try:
            # Not cancelled with the wait: what it takes after all has to be given back.
            admission = await asyncio.wait_for(asyncio.shield(asking), self._timeout)
        except TimeoutError:
            self._give_back_later(asking, lease)
            self._lost(f"no answer within {self._timeout * 1000:g} ms")
        except StoreError as error:
            self._lost(str(error))
        except asyncio.CancelledError:
            self._give_back_later(asking, lease)
            raise
        else:
            # An answer to what was asked before the loss does not tell that it is over.
            if trying:
                self._found()
            return admission
        return await self._acquire_here(charges, lease=lease, lease_for=lease_for)

    async def settle(self, taken: Sequence[Taken], actual: Mapping[str, int], *, lease: str) -> None:
        """With the store that admitted it."""
        if any(one.degraded for one in taken):
            await self._local.settle(taken, actual, lease=lease)
            return
        try:
            async with asyncio.timeout(_UNHURRIED):
                await self._primary.settle(taken, actual, lease=lease)
        except TimeoutError:
            raise StoreError("Redis does not answer") from None

    async def peek(self, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        """How limits stand, at the primary if it answers."""
        try:
            async with asyncio.timeout(_UNHURRIED):
                return await self._primary.peek(limits)
        except (TimeoutError, StoreError):
            return await self._local.peek(limits)

    async def close(self) -> None:
        """Give up on answers that are still awaited."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _acquire_here(self, charges: Sequence[Charge], *, lease: str, lease_for: float) -> Admission:
        self.fallbacks += 1
        admission = await self._local.acquire(charges, lease=lease, lease_for=lease_for)
        taken = tuple([replace(one, degraded=True) for one in admission.taken])
        return replace(admission, taken=taken, degraded=True)

    def _is_asked(self) -> bool:
        """While the primary is lost one request after the other tries it, none of them soon after the last."""
        if not self.degraded:
            return True
        now = self._clock()
        if now < self._retry_at:
            return False
        self._retry_at = now + self._retry_every
        return True

    def _lost(self, why: str) -> None:
        if not self.degraded:
            log.warning("limits are counted in each process for now: %s", why)
        self.degraded = True
        self._retry_at = self._clock() + self._retry_every

    def _found(self) -> None:
        if self.degraded:
            log.warning("limits are counted by all replicas together again")
        self.degraded = False

    def _give_back_later(self, asking: asyncio.Future[Admission], lease: str) -> None:
        task = asyncio.ensure_future(self._give_back(asking, lease))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _give_back(self, asking: asyncio.Future[Admission], lease: str) -> Admission:
        try:
            admission = await asking
            await self._primary.settle(admission.taken, {}, lease=lease)
        except StoreError:
            return Admission()
        return admission
