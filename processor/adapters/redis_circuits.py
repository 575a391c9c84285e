"""What one process finds out about a target, the others know: circuits shared through Redis.

Never on a request's path: changes are published, and what others publish is taken over. Without Redis every process is
on its own. Only how many seconds are left is ever said, so that clocks need not agree.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import msgspec

from processor.policy.circuit import Circuit
from processor.policy.health import Healths, TargetKey

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_WAITING = 1024
"""Changes that wait to be published; of a target only its last one counts."""
_AGAIN = 1.0
"""Seconds until Redis is tried again."""
_LISTEN = 1.0
"""Seconds between looks at whether there is something to do at all."""
_SHORTEST = 0.05
"""Seconds; a circuit that is open for less is not worth telling."""


class Told(msgspec.Struct, frozen=True, gc=False):
    """One change, as it is published and kept."""

    process: str
    provider: str
    model: str
    credential: int
    seconds: float
    """For which the target is left alone; 0: it answers again."""
    why: str

    @property
    def key(self) -> TargetKey:
        """The target's."""
        return TargetKey(self.provider, self.model, self.credential)


_decode = msgspec.json.Decoder(Told).decode


class RedisCircuits:
    """Publishes this process's changes, and holds circuits that others found to be open."""

    def __init__(self, redis: Redis, prefix: str, healths: Healths, clock: Callable[[], float]) -> None:
        self._redis = redis
        self._tag = f"{{{prefix}}}:circuit"
        self._healths = healths
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._waiting: dict[TargetKey, Told] = {}
        self._wake = asyncio.Event()
        self._lost = False
        healths.on_change.append(self.changed)

    def changed(self, key: TargetKey, circuit: Circuit) -> None:
        """A circuit has opened or closed here."""
        seconds = circuit.remaining(self._clock())
        if circuit.closed or seconds > _SHORTEST:
            told = Told(self._process, *key, seconds, circuit.why)
            if len(self._waiting) < _WAITING or key in self._waiting:
                self._waiting[key] = told
                self._wake.set()

    async def run(self) -> None:
        """Publish and listen, for ever; start again when Redis is back."""
        from redis.exceptions import RedisError

        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._listen())
                    group.create_task(self._publish())
            except* (RedisError, OSError) as errors:
                if not self._lost:
                    log.warning("circuits are not shared for now: Redis (%s)", type(errors.exceptions[0]).__name__)
                self._lost = True
            await asyncio.sleep(_AGAIN)

    async def _listen(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(self._tag)
            await self._take_over()
            if self._lost:
                log.warning("circuits are shared again")
            self._lost = False
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=_LISTEN)
                if message:
                    self._heard(message["data"])

    async def _take_over(self) -> None:
        """What others knew before we listened."""
        for name, text in cast("dict[str, str]", await self._redis.hgetall(self._tag)).items():
            left = await self._redis.pttl(f"{self._tag}:{name}")
            if left > 0:
                self._heard(text, seconds=left / 1000)
            else:
                await self._redis.hdel(self._tag, name)

    def _heard(self, text: str, seconds: float | None = None) -> None:
        try:
            told = _decode(text)
        except msgspec.MsgspecError:
            return
        if told.process == self._process:
            return
        now = self._clock()
        if told.seconds > 0:
            self._healths.of(told.key).circuit.hold(now, seconds or told.seconds, f"{told.why}, as another process saw")
        elif health := self._healths.peek(told.key):
            health.circuit.free(now)

    async def _publish(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                key, told = next(iter(self._waiting.items()))
                await self._tell(told)
                if self._waiting.get(key) is told:
                    del self._waiting[key]

    async def _tell(self, told: Told) -> None:
        """Keep it for those who come later, and say it to those who listen."""
        text = msgspec.json.encode(told)
        name = f"{told.provider}/{told.model}#{told.credential}"
        async with self._redis.pipeline(transaction=True) as pipe:
            if told.seconds > 0:
                pipe.hset(self._tag, name, text)
                pipe.set(f"{self._tag}:{name}", "", px=max(1, round(told.seconds * 1000)))
            else:
                pipe.hdel(self._tag, name)
                pipe.delete(f"{self._tag}:{name}")
            pipe.publish(self._tag, text)
            await pipe.execute()
