"""Gateway keys made at run time: their hashes in Redis, for every replica."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from processor.config import KeyConfig
from processor.exchange.access import Keyring
from processor.ports import StoreError

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

log = logging.getLogger(__name__)

_POLL = 1.0
"""Seconds after which a revoked key is one everywhere."""
_UNKNOWN_FOR = 1.0
"""Seconds for which a key that nobody knew is not asked about again."""
_UNKNOWN = 8192
"""Such keys that are remembered."""
_ATTEMPTS = 16
"""Times that a change is decided anew, because somebody else's came first."""
_SHA256 = re.compile(r"[0-9a-f]{64}")

_decode = msgspec.json.Decoder(KeyConfig).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of the keys: some are put in, or replaced, by their hashes; then some are forgotten."""

    put: tuple[KeyConfig, ...] = ()
    remove: tuple[KeyConfig, ...] = ()


class RedisKeys:
    """A hash of keys by their SHA-256, and a version that is another after every change."""

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
        return _readable(await self._ask(lambda redis: redis.hgetall(self._keys)))

    async def find(self, sha256: str) -> KeyConfig | None:
        """The key with this hash."""
        text = await self._ask(lambda redis: redis.hget(self._keys, sha256))
        return _read(sha256, text) if text else None

    async def change(self, decide: Callable[[Sequence[KeyConfig]], Change]) -> Change:
        """Change keys, all at once or not at all. `decide` sees every key as it is, and is asked again where somebody
        changes one meanwhile; what it raises is passed on. Returns what it decided in the end.
        """
        return await self._ask(lambda redis: self._decided(redis, decide))

    async def _decided(self, redis: Any, decide: Callable[[Sequence[KeyConfig]], Change]) -> Change:
        from redis.exceptions import WatchError

        for _ in range(_ATTEMPTS):
            async with redis.pipeline(transaction=True) as pipe:
                await pipe.watch(self._keys)
                change = decide(_readable(await pipe.hgetall(self._keys)))
                pipe.multi()
                self._queue(pipe, change)
                try:
                    await pipe.execute()
                except WatchError:
                    continue
                return change
        raise StoreError("too many change keys in Redis at once")

    def _queue(self, pipe: Any, change: Change) -> None:
        if change.put:
            pipe.hset(self._keys, mapping={key.sha256: _encode(key) for key in change.put})
        if change.remove:
            pipe.hdel(self._keys, *(key.sha256 for key in change.remove))
        # Not a number: a Redis that has lost its data would come by the same ones again.
        pipe.set(self._version, secrets.token_hex(8))

    async def _ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        from redis.exceptions import RedisError

        try:
            return await question(self._redis)
        except (RedisError, OSError) as error:
            raise StoreError(f"Redis cannot be asked ({type(error).__name__})") from None


def _encode(key: KeyConfig) -> bytes:
    """Without what is not set: a list that says nothing may not stand there empty."""
    return msgspec.json.encode({name: value for name, value in msgspec.to_builtins(key).items() if value})


def _readable(entries: Mapping[str, str]) -> list[KeyConfig]:
    return [key for sha256, text in entries.items() if (key := _read(sha256, text))]


def _read(sha256: str, text: str) -> KeyConfig | None:
    try:
        key = _decode(text)
    except (msgspec.MsgspecError, ValueError):
        key = None
    if key and key.sha256 == sha256 and _SHA256.fullmatch(sha256):
        return key
    log.warning("the key %a in Redis cannot be read, and opens nothing", sha256[:8])
    return None


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
