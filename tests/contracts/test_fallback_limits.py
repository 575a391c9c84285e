"""What requests meet while the store that replicas share does not answer: scripted stores, and a real Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from processor.adapters.fallback_limits import FallbackLimits
from processor.adapters.local_limits import LocalLimits
from processor.adapters.redis_connection import connect
from processor.adapters.redis_limits import RedisLimits
from processor.config import RedisConfig
from processor.policy.limits import Admission, Charge, Limit, Period, Standing, Taken, Unit
from processor.ports import LimitStore, StoreError
from tests.support.gateway import until_async
from tests.support.redis_server import RedisServer
from tests.support.slow_proxy import SlowProxy

TPM = Limit(subject="key:a", unit=Unit.TOKENS, period=Period.MINUTE, amount=100_000)
MONTH = Limit(subject="key:a", unit=Unit.TOKENS, period=Period.MONTH, amount=1000)
NOW = Limit(subject="model:m", unit=Unit.REQUESTS, period=Period.NOW, amount=2)
LEASE = 60.0


def charge(limit: Limit, cost: int = 1) -> Charge:
    return Charge(limit=limit, cost=cost)


async def admit(store: LimitStore, lease: str, limit: Limit = TPM) -> bool:
    """Whether a request was decided here; it is over at once."""
    found = await store.acquire([charge(limit)], lease=lease, lease_for=LEASE)
    await store.settle(found.taken, {limit.name: 1}, lease=lease)
    return found.degraded


@dataclass(slots=True)
class Scripted:
    """A store that fails, or holds its answers back, as it is told."""

    inner: LimitStore = field(default_factory=lambda: LocalLimits(lambda: 1_790_000_000.0))
    fails: bool = False
    free: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    settled: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free.set()

    async def acquire(self, charges: Sequence[Charge], *, lease: str, lease_for: float) -> Admission:
        self.asked.append(lease)
        if self.fails:
            raise StoreError("it is gone")
        await self.free.wait()
        return await self.inner.acquire(charges, lease=lease, lease_for=lease_for)

    async def settle(self, taken: Sequence[Taken], actual: Mapping[str, int], *, lease: str) -> None:
        self.settled.append(lease)
        await self.inner.settle(taken, actual, lease=lease)

    async def peek(self, limits: Sequence[Limit]) -> tuple[Standing, ...]:
        if self.fails:
            raise StoreError("it is gone")
        return await self.inner.peek(limits)


@dataclass(slots=True)
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Pair:
    """Two scripted stores, and the one under test before them."""

    primary: Scripted = field(default_factory=Scripted)
    local: Scripted = field(default_factory=Scripted)
    clock: Clock = field(default_factory=Clock)
    timeout: float = 5.0

    async def is_asked(self, lease: str) -> None:
        async def asked() -> bool:
            return lease in self.primary.asked

        await until_async(asked, within=3, what="the primary to be asked")

    def store(self) -> FallbackLimits:
        return FallbackLimits(self.primary, self.local, timeout=self.timeout, clock=self.clock, retry_every=1.0)


async def test_a_store_that_answers_decides_alone() -> None:
    pair = Pair()
    store = pair.store()
    assert not await admit(store, "a")
    assert (pair.primary.asked, pair.primary.settled, pair.local.asked) == (["a"], ["a"], [])
    assert (store.degraded, store.fallbacks) == (False, 0)


async def test_while_it_fails_it_is_asked_by_one_request_a_second() -> None:
    pair = Pair()
    store, pair.primary.fails = pair.store(), True
    for tenth in range(25):
        pair.clock.now = 100 + tenth / 10
        assert await admit(store, str(tenth))
    assert pair.primary.asked == ["0", "10", "20"]
    assert store.fallbacks == 25


async def test_one_request_tries_it_again_and_no_other_waits_meanwhile() -> None:
    pair = Pair()
    store, pair.primary.fails = pair.store(), True
    assert await admit(store, "first")
    pair.clock.now += 1
    pair.primary.fails = False
    pair.primary.free.clear()
    trying = asyncio.create_task(admit(store, "trying"))
    await pair.is_asked("trying")
    assert await admit(store, "beside"), "decided here, although the other still waits"
    pair.primary.free.set()
    assert not await trying
    assert not await admit(store, "after")
    assert not store.degraded


async def test_its_loss_and_its_return_are_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair()
    store, pair.primary.fails = pair.store(), True
    with caplog.at_level(logging.INFO):
        for number in range(30):
            pair.clock.now += 0.5
            await admit(store, str(number))
        pair.primary.fails = False
        pair.clock.now += 1
        await admit(store, "again")
        await admit(store, "and again")
    assert [record.message for record in caplog.records] == [
        "limits are counted in each process for now: it is gone",
        "limits are counted by all replicas together again",
    ]


async def test_an_answer_to_what_was_asked_before_does_not_end_the_loss() -> None:
    pair = Pair()
    store = pair.store()
    pair.primary.free.clear()
    before = asyncio.create_task(admit(store, "before"))
    await pair.is_asked("before")
    pair.primary.fails = True
    assert await admit(store, "lost")
    pair.primary.free.set()
    assert not await before
    assert store.degraded


async def test_each_store_settles_what_it_admitted() -> None:
    pair = Pair()
    store = pair.store()
    theirs = await store.acquire([charge(MONTH, 10)], lease="theirs", lease_for=LEASE)
    pair.primary.fails = True
    ours = await store.acquire([charge(MONTH, 20)], lease="ours", lease_for=LEASE)
    pair.primary.fails = False
    await store.settle(ours.taken, {MONTH.name: 2}, lease="ours")
    await store.settle(theirs.taken, {MONTH.name: 1}, lease="theirs")
    assert (pair.primary.settled, pair.local.settled) == (["theirs"], ["ours"])
    assert [(await one.peek([MONTH]))[0].remaining for one in (pair.primary, pair.local)] == [999, 998]


async def test_local_counts_refuse_as_well() -> None:
    pair = Pair()
    store, pair.primary.fails = pair.store(), True
    admissions = [await store.acquire([charge(NOW)], lease=str(n), lease_for=LEASE) for n in range(3)]
    assert [found.refused is None for found in admissions] == [True, True, False]
    assert all(found.degraded for found in admissions)


async def test_a_request_that_is_gone_while_it_asked_takes_nothing() -> None:
    pair = Pair()
    store = pair.store()
    pair.primary.free.clear()
    gone = asyncio.create_task(admit(store, "gone", NOW))
    await pair.is_asked("gone")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    pair.primary.free.set()

    async def given_back() -> bool:
        return pair.primary.settled == ["gone"]

    await until_async(given_back, within=3, what="what it took to be given back")
    assert (await pair.primary.peek([NOW]))[0].remaining == NOW.amount
    assert not store.degraded, "it is not the store's fault"


async def test_how_limits_stand_is_told_from_here_when_nobody_else_does() -> None:
    pair = Pair()
    store = pair.store()
    pair.primary.fails = True
    await admit(store, "a", MONTH)
    assert (await store.peek([MONTH]))[0].remaining == 999


@pytest_asyncio.fixture
async def proxy(server: RedisServer) -> AsyncIterator[SlowProxy]:
    redis = connect(RedisConfig(url=server.url))
    await redis.flushall()
    await redis.aclose()
    async with SlowProxy(server.port) as running:
        yield running


@pytest_asyncio.fixture
async def direct(server: RedisServer) -> AsyncIterator[RedisLimits]:
    """To the same counts, by no proxy."""
    redis = connect(RedisConfig(url=server.url))
    yield RedisLimits(redis, "test")
    await redis.aclose()


class Fallback:
    """By a port of loopback, with a tenth of a second's patience."""

    def __init__(self, port: int) -> None:
        self._redis = connect(RedisConfig(url=f"redis://127.0.0.1:{port}/0"))
        self._store = FallbackLimits(
            RedisLimits(self._redis, "test"),
            LocalLimits(time.time),
            timeout=0.1,
            clock=time.monotonic,
            retry_every=0.2,
        )

    async def __aenter__(self) -> FallbackLimits:
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()
        await self._redis.aclose()


async def until_asked_again(store: FallbackLimits) -> None:
    async def recovered() -> bool:
        return not await admit(store, "after")

    await until_async(recovered, within=10, what="the store to be asked again")
    assert not store.degraded


@pytest.mark.parametrize("trouble", ["slow", "dead"])
async def test_a_store_that_does_not_answer_in_time_is_stood_in_for_until_it_does(
    proxy: SlowProxy, trouble: str
) -> None:
    async with Fallback(proxy.port) as store:
        assert not await admit(store, "before")
        proxy.delay, proxy.dead = (0.5, False) if trouble == "slow" else (0.0, True)
        async with asyncio.timeout(5):
            assert all([await admit(store, f"while {number}") for number in range(50)])
            assert all(await asyncio.gather(*[admit(store, f"together {number}") for number in range(200)]))
        assert store.degraded
        assert store.fallbacks == 250
        proxy.delay, proxy.dead = 0.0, False
        await until_asked_again(store)


async def test_a_redis_that_is_killed_and_started_again_is_found_again(tmp_path: Path) -> None:
    async with RedisServer(tmp_path / "own") as server, Fallback(server.port) as store:
        assert not await admit(store, "before")
        await server.stop()
        assert await admit(store, "while")
        await server.start()
        await until_asked_again(store)


async def test_what_a_late_answer_took_is_given_back(proxy: SlowProxy, direct: RedisLimits) -> None:
    async with Fallback(proxy.port) as store:
        await admit(store, "warm")
        proxy.delay = 0.3
        found = await store.acquire([charge(NOW)], lease="late", lease_for=LEASE)
        assert found.degraded
        assert (await direct.peek([NOW]))[0].remaining == NOW.amount - 1, "taken there, and told too late"
        proxy.delay = 0.0

        async def free() -> bool:
            return (await direct.peek([NOW]))[0].remaining == NOW.amount

        await until_async(free, within=5, what="the late admission to be given back")


async def test_an_answer_that_is_lost_on_its_way_is_not_asked_for_twice(proxy: SlowProxy, direct: RedisLimits) -> None:
    redis = connect(RedisConfig(url=f"redis://127.0.0.1:{proxy.port}/0"))
    store = RedisLimits(redis, "test")
    await store.acquire([charge(MONTH, 1)], lease="warm", lease_for=LEASE)
    proxy.cut = True
    with pytest.raises(StoreError):
        await store.acquire([charge(MONTH, 100)], lease="lost", lease_for=LEASE)
    assert (await direct.peek([MONTH]))[0].remaining == 899, "counted once, not twice"
    await redis.aclose()


async def test_calls_that_are_cancelled_leave_no_answer_to_the_next(proxy: SlowProxy) -> None:
    redis = connect(RedisConfig(url=f"redis://127.0.0.1:{proxy.port}/0"))
    store = RedisLimits(redis, "test")
    await store.peek([MONTH])
    proxy.delay = 0.05
    for number in range(100):
        asking = asyncio.create_task(store.acquire([charge(TPM, 7)], lease="x", lease_for=LEASE))
        await asyncio.sleep(number / 10_000)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    many = [asyncio.create_task(store.acquire([charge(TPM, 7)], lease="x", lease_for=LEASE)) for _ in range(200)]
    await asyncio.sleep(0.02)
    for asking in many:
        asking.cancel()
    await asyncio.gather(*many, return_exceptions=True)
    proxy.delay = 0.0
    for expected in (999, 998, 997):
        found = await store.acquire([charge(MONTH, 1)], lease="y", lease_for=LEASE)
        assert [(standing.limit, standing.remaining) for standing in found.standings] == [(MONTH, expected)]
    async with asyncio.timeout(5):
        stood = await asyncio.gather(*[store.peek([MONTH]) for _ in range(200)])
    assert {standing.remaining for (standing,) in stood} == {997}, (
        "every connection of the pool answers what it is asked"
    )
    await redis.aclose()
