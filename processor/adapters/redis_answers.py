"""Answers kept in Redis, for all replicas together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from processor.ports import KeptAnswer

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_AGAIN = 1.0
"""Seconds until Redis is asked again that did not answer."""
_UNHURRIED = 1.0
"""Seconds for what no request waits for."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeptAnswer).decode


class RedisAnswers:
    """The AnswerStore of replicas. Its keys have no hash tag: in a cluster they are everybody's to hold."""

    def __init__(self, redis: Redis, prefix: str, *, timeout: float, clock: Callable[[], float]) -> None:
        """`timeout` in seconds, by `clock`, which never goes back."""
        self._redis = redis
        self._prefix = f"{prefix}:answer:"
        self._timeout = timeout
        self._clock = clock
        self._ask_at = 0.0
        self._lost = False

    async def get(self, key: str) -> KeptAnswer | None:
        """The answer, if Redis has it and says so in time."""
        found = await self._ask("GET", self._prefix + key, within=self._timeout)
        try:
            return _decode(found) if isinstance(found, bytes) else None
        except msgspec.MsgspecError:  # another version's
            return None

    async def put(self, key: str, answer: KeptAnswer, *, keep_for: float) -> None:
        """Keep it; what cannot be kept is as if it had been forgotten."""
        await self._ask("SET", self._prefix + key, _encode(answer), "PX", round(keep_for * 1000), within=_UNHURRIED)

    async def _ask(self, *command: str | bytes | int, within: float) -> object:
        from redis.client import NEVER_DECODE
        from redis.exceptions import RedisError

        if self._clock() < self._ask_at:
            return None
        try:
            async with asyncio.timeout(within):
                # Bodies are bytes; the pool's other commands are answered in text.
                answer: object = await self._redis.execute_command(*command, **{NEVER_DECODE: True})  # type: ignore[no-untyped-call]
        except TimeoutError:
            self._note_lost("no answer in time")
        except (RedisError, OSError) as error:
            self._note_lost(type(error).__name__)
        else:
            self._note_found()
            return answer
        return None

    def _note_lost(self, why: str) -> None:
        if not self._lost:
            log.warning("kept answers are not looked for now: Redis (%s)", why)
        self._lost = True
        self._ask_at = self._clock() + _AGAIN

    def _note_found(self) -> None:
        if self._lost:
            log.warning("kept answers are looked for again")
        self._lost = False
