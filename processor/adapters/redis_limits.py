"""Limits counted in Redis, for all replicas together: one script call for each request, one more when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processor.policy.limits import Admission, Charge, Limit, Period, Standing, Taken
from processor.ports import StoreError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SCRIPT = Path(__file__).with_suffix(".lua").read_text("utf-8")
_HEAD = 3
"""Values of an answer before those of its limits, and then for each of them."""


class RedisLimits:
    """The LimitStore of replicas. Every key has one hash tag, so that they lie together in a cluster."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._tag = f"{{{prefix}}}:limit:"
        self._script = redis.register_script(_SCRIPT)

    async def acquire(self, charges: Sequence[Charge], *, lease: str, lease_for: float) -> Admission:
        """Take all, or nothing."""
        limits = [charge.limit for charge in charges]
        wanted = [value for charge in charges for value in (charge.limit.period, charge.limit.amount, charge.cost)]
        answer = await self._run(limits, "acquire", lease, lease_for, wanted)
        standings = _standings(limits, answer)
        if answer[0]:
            taken = tuple(
                Taken(charge, int(slot)) for charge, slot in zip(charges, answer[_HEAD + 2 :: _HEAD], strict=True)
            )
            return Admission(standings=standings, taken=taken)
        wait = int(answer[2])
        return Admission(
            standings=standings,
            refused=standings[int(answer[1]) - 1],
            retry_after=None if wait < 0 else wait / 1000,
        )

    async def settle(self, taken: Sequence[Taken], actual: Mapping[str, int], *, lease: str) -> None:
        """Put what was used in the place of what was reserved."""
        changed = [one for one in taken if one.charge.limit.period is Period.NOW or _difference(one, actual)]
        if not changed:
            return
        limits = [one.charge.limit for one in changed]
        wanted = [value for one in changed for value in (one.charge.limit.period, one.slot, _difference(one, actual))]
        await self._run(limits, "settle", lease, 0, wanted)

    async def peek(self, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        """How limits stand."""
        wanted = [value for limit in limits for value in (limit.period, limit.amount, 0)]
        return _standings(limits, await self._run(limits, "peek", "", 0, wanted)) if limits else ()

    async def _run(
        self, limits: Sequence[Limit], action: str, lease: str, lease_for: float, wanted: Sequence[str | int]
    ) -> list[Any]:
        from redis.exceptions import RedisError

        keys = [self._tag + limit.name for limit in limits]
        try:
            answer = await self._script(keys=keys, args=[action, lease, lease_for, *wanted])
        except (RedisError, OSError) as error:
            raise StoreError(f"Redis cannot be asked ({type(error).__name__})") from None
        return answer if isinstance(answer, list) else []


def _difference(taken: Taken, actual: Mapping[str, int]) -> int:
    return actual.get(taken.charge.limit.name, 0) - taken.charge.cost


def _standings(limits: Sequence[Limit], answer: Sequence[Any]) -> tuple[Standing, ...]:
    parts = zip(limits, answer[_HEAD::_HEAD], answer[_HEAD + 1 :: _HEAD], strict=True)
    return tuple(Standing(limit, int(remaining), int(reset) / 1000) for limit, remaining, reset in parts)
