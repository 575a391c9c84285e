"""Gateway keys made at run time: their hashes in Redis, for every replica."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from processor.config import KeyConfig
from processor.exchange.access import Keyring
from processor.ports import StoreError

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger(__name__)

_POLL = 1.0
"""Seconds after which a revoked key is one everywhere."""
_UNKNOWN_FOR = 1.0
"""Seconds for which a key that nobody knew is not asked about again."""
_UNKNOWN = 8192
"""Such keys that are remembered."""

_decode = msgspec.json.Decoder(KeyConfig).decode


class RedisKeys:
    """A hash of keys by their SHA-256, and a version that every change raises."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._keys = f"{{{prefix}}}:keys"
        self._version = f"{{{prefix}}}:keys:version"

    async def version(self) -> str:
        """Another with every change; empty before the first.

        Raises:
            StoreError: Redis cannot be asked. So do the others.
        """
        return str(await self._ask(lambda redis: redis.get(self._version)) or "")

    async def all(self) -> list[KeyConfig]:
        """Every key, the ones that are running out too."""
        entries = await self._ask(lambda redis: redis.hgetall(self._keys))
        return [key for sha256, text in entries.items() if (key := _read(sha256, text))]

    async def find(self, sha256: str) -> KeyConfig | None:
        """The key with this hash."""
        text = await self._ask(lambda redis: redis.hget(self._keys, sha256))
        return _read(sha256, text) if text else None

    async def put(self, *keys: KeyConfig) -> None:
        """Add keys, or change them, all at once."""
        await self._change(lambda pipe: pipe.hset(self._keys, mapping={key.sha256: _encode(key) for key in keys}))

    async def remove(self, keys: Iterable[KeyConfig]) -> None:
        """Forget keys."""
        hashes = [key.sha256 for key in keys]
        if hashes:
            await self._change(lambda pipe: pipe.hdel(self._keys, *hashes))

    async def rotate(self, name: str, sha256: str, *, old_until: float) -> KeyConfig | None:
        """Give a key's name and rights to another hash; the old ones hold until then. None: there is no such key."""
        old = [key for key in await self.all() if key.name == name]
        newest = max(old, key=lambda key: float("inf") if key.expires is None else key.expires, default=None)
        if newest is None:
            return None
        ending = [replace(key, expires=min(old_until, key.expires or old_until)) for key in old]
        new = replace(newest, sha256=sha256)
        await self.put(new, *ending)
        return new

    async def sweep(self, now: float) -> None:
        """Forget what has expired."""
        await self.remove([key for key in await self.all() if key.expires is not None and key.expires <= now])

    async def _change(self, queue: Callable[[Any], object]) -> None:
        async def run(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipe:
                queue(pipe)
                pipe.incr(self._version)
                await pipe.execute()

        await self._ask(run)

    async def _ask(self, question: Callable[[Redis], Any]) -> Any:
        from redis.exceptions import RedisError

        try:
            return await question(self._redis)
        except (RedisError, OSError) as error:
            raise StoreError(f"Redis cannot be asked ({type(error).__name__})") from None


def _encode(key: KeyConfig) -> bytes:
    """Without what is not set: a list that says nothing may not stand there empty."""
    return msgspec.json.encode({name: value for name, value in msgspec.to_builtins(key).items() if value})


def _read(sha256: str, text: str) -> KeyConfig | None:
    try:
        key = _decode(text)
    except (msgspec.MsgspecError, ValueError):
        log.warning("the key %s… in Redis cannot be read, and opens nothing", sha256[:8])
        return None
    return key if key.sha256 == sha256 else None


class KeyWatch:
    """Keeps a keyring up to date, and asks about keys that are new to it. Without Redis it keeps what it has."""

    def __init__(self, keys: RedisKeys, keyring: Keyring, *, timeout: float, clock: Callable[[], float]) -> None:
        self._keys = keys
        self._keyring = keyring
        self._timeout = timeout
        self._clock = clock
        self._version: str | None = None
        self._unknown: dict[str, float] = {}
        self._lost = False

    async def find(self, sha256: str) -> KeyConfig | None:
        """A key that was made a moment ago; one that was not known is not asked about again for a while."""
        now = self._clock()
        if self._unknown.get(sha256, 0.0) > now:
            return None
        try:
            async with asyncio.timeout(self._timeout):
                key = await self._keys.find(sha256)
        except (TimeoutError, StoreError):
            return None
        if key is None:
            self._remember(sha256, now)
        return key

    def _remember(self, sha256: str, now: float) -> None:
        while len(self._unknown) >= _UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
        self._unknown[sha256] = now + _UNKNOWN_FOR

    async def run(self) -> None:
        """Look for changes, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(_POLL)

    async def refresh(self) -> None:
        """Take over what has changed; log once that nothing can be learnt, and once that it can again."""
        try:
            version = await self._keys.version()
            if version != self._version:
                self._keyring.replace(await self._keys.all())
                self._version = version
        except StoreError as error:
            if not self._lost:
                log.warning("keys made at run time: %s; those that are known keep working", error)
            self._lost = True
        else:
            if self._lost:
                log.warning("keys made at run time: Redis answers again")
            self._lost = False
