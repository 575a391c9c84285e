"""Keys in a real Redis: changed by many at once, and read by workers that must not lose sight of them."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest
from redis.asyncio import Redis

from processor.adapters.key_desk import KeyDesk
from processor.adapters.redis_keys import KeyWatch, RedisKeys
from processor.errors import ClientError
from processor.exchange.access import Keyring

NOW = 1_800_000_000.0


class Clock:
    """For expiries; tests set it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(redis: Redis) -> RedisKeys:
    return RedisKeys(redis, "test")


@pytest.fixture
def desk(keys: RedisKeys, clock: Clock) -> KeyDesk:
    return KeyDesk((), keys, clock)


@pytest.fixture
def keyring(clock: Clock) -> Keyring:
    return Keyring((), clock)


@pytest.fixture
def watch(keys: RedisKeys, keyring: Keyring) -> KeyWatch:
    return KeyWatch(keys, keyring, timeout=1.0, clock=time.monotonic)


async def test_of_many_who_want_a_name_at_once_one_gets_it(desk: KeyDesk) -> None:
    await asyncio.gather(*(desk.all() for _ in range(8)))  # so that each has a connection, and none is behind
    found = await asyncio.gather(*(desk.create({"name": "wanted"}) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(one, dict) for one in found) == 1
    assert {one.status for one in found if isinstance(one, ClientError)} == {409}
    assert len(await desk.all()) == 1


async def test_of_keys_that_are_rotated_at_once_one_lasts(desk: KeyDesk) -> None:
    await desk.create({"name": "a"})
    await asyncio.gather(*(desk.rotate("a", {"grace_seconds": 60}) for _ in range(4)))
    assert sum("expires" not in key for key in await desk.all()) == 1


async def test_nothing_outlives_a_key_that_is_revoked_while_it_is_rotated(desk: KeyDesk) -> None:
    for _ in range(10):
        await desk.create({"name": "a"})
        both = (desk.rotate("a", {}), desk.revoke("a"))
        await asyncio.gather(*both, return_exceptions=True)
        assert await desk.all() == []


async def test_an_expired_key_cannot_be_rotated_into_one_that_never_works(desk: KeyDesk, clock: Clock) -> None:
    await desk.create({"name": "a", "expires": "2099-01-01"})
    clock.now = 4_100_000_000
    with pytest.raises(ClientError, match="has expired") as refused:
        await desk.rotate("a", {})
    assert refused.value.status == 409


async def test_what_has_expired_is_forgotten_with_the_next_rotation(desk: KeyDesk, clock: Clock) -> None:
    await desk.create({"name": "a"})
    await desk.rotate("a", {"grace_seconds": 60})
    clock.now += 61
    await desk.rotate("a", {"grace_seconds": 60})
    assert len(await desk.all()) == 2


async def test_keys_made_in_a_redis_that_lost_all_others_are_noticed(
    redis: Redis, desk: KeyDesk, keyring: Keyring, watch: KeyWatch
) -> None:
    await desk.create({"name": "before"})
    await watch.refresh()
    await redis.flushall()
    await desk.create({"name": "after"})
    await watch.refresh()
    assert [key.name for key in keyring] == ["after"]


@pytest.mark.parametrize("field", ["no hash", "0" * 63 + "\u0660", b"\xff" * 64], ids=["words", "digits", "bytes"])
@pytest.mark.parametrize("text", ["nonsense", b"\xff", '{"name": "a", "sha256": "no hash"}', "{}"])
async def test_an_entry_that_cannot_be_read_keeps_no_other_from_being_seen(
    redis: Redis, desk: KeyDesk, keyring: Keyring, watch: KeyWatch, field: str | bytes, text: str | bytes
) -> None:
    await redis.hset("{test}:keys", field, text)
    made = await desk.create({"name": "good"})
    await watch.refresh()
    assert [key.name for key in keyring] == ["good"]
    assert (await keyring.authenticate({"x-api-key": made["key"]})).name == "good"
    assert await watch.find(hashlib.sha256(b"other").hexdigest()) is None
