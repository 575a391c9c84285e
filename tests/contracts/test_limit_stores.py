"""What every store of limits does: in the process, and in a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from processor.adapters.fallback_limits import FallbackLimits
from processor.adapters.local_limits import LocalLimits
from processor.adapters.redis_connection import connect
from processor.adapters.redis_limits import RedisLimits
from processor.config import RedisConfig
from processor.policy.limit_counts import LimitCounts, month_begins, month_of
from processor.policy.limits import Charge, Limit, Period, Unit
from processor.ports import LimitStore, StoreError
from tests.support.gateway import until_async
from tests.support.redis_server import RedisServer
from tests.support.slow_proxy import SlowProxy

RPM = Limit(subject="key:a", unit=Unit.REQUESTS, period=Period.MINUTE, amount=3)
TPM = Limit(subject="key:a", unit=Unit.TOKENS, period=Period.MINUTE, amount=100)
DAY = Limit(subject="key:a", unit=Unit.MONEY, period=Period.DAY, amount=9 * 10**12)
MONTH = Limit(subject="team:t", unit=Unit.TOKENS, period=Period.MONTH, amount=1000)
NOW = Limit(subject="model:m", unit=Unit.REQUESTS, period=Period.NOW, amount=2)
LEASE = 60.0


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest_asyncio.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    connected = connect(RedisConfig(url=server.url))
    await connected.flushall()
    yield connected
    await connected.aclose()


@pytest.fixture(params=["local", "redis"])
def store(request: pytest.FixtureRequest, redis: Redis) -> LimitStore:
    return RedisLimits(redis, "test") if request.param == "redis" else LocalLimits(time.time)


def charge(limit: Limit, cost: int = 1) -> Charge:
    return Charge(limit=limit, cost=cost)


async def test_so_many_are_admitted_and_the_next_is_told_when(store: LimitStore) -> None:
    for left in (2, 1, 0):
        admission = await store.acquire([charge(RPM)], lease="r", lease_for=LEASE)
        assert admission.refused is None
        assert [standing.remaining for standing in admission.standings] == [left]
        assert 59 <= admission.standings[0].reset <= 61
    refused = await store.acquire([charge(RPM)], lease="r", lease_for=LEASE)
    assert refused.refused is not None
    assert (refused.refused.limit, refused.refused.remaining, refused.taken) == (RPM, 0, ())
    assert refused.retry_after is not None
    assert 58 <= refused.retry_after <= 61


async def test_all_is_taken_or_nothing(store: LimitStore) -> None:
    assert (await store.acquire([charge(TPM, 90), charge(RPM)], lease="a", lease_for=LEASE)).refused is None
    refused = await store.acquire([charge(RPM), charge(TPM, 20), charge(MONTH, 20)], lease="b", lease_for=LEASE)
    assert refused.refused is not None
    assert refused.refused.limit == TPM
    assert [standing.remaining for standing in refused.standings] == [2, 10, 1000]


async def test_of_several_in_the_way_the_longest_is_told(store: LimitStore) -> None:
    await store.acquire([charge(TPM, 100), charge(MONTH, 1000)], lease="a", lease_for=LEASE)
    refused = await store.acquire([charge(TPM, 1), charge(MONTH, 1)], lease="b", lease_for=LEASE)
    assert refused.refused is not None
    assert refused.refused.limit == MONTH
    ends = month_begins(month_of(time.time()) + 1) - time.time()
    assert refused.retry_after == pytest.approx(ends, abs=5)


async def test_what_is_more_than_all_of_a_limit_is_never_admitted(store: LimitStore) -> None:
    refused = await store.acquire([charge(TPM, 101)], lease="a", lease_for=LEASE)
    assert refused.refused is not None
    assert refused.retry_after is None


async def test_settling_gives_back_what_was_not_used_and_counts_what_was_used_beyond(store: LimitStore) -> None:
    less = await store.acquire([charge(TPM, 50), charge(RPM), charge(DAY, 10**12)], lease="a", lease_for=LEASE)
    await store.settle(less.taken, {TPM.name: 20, RPM.name: 1, DAY.name: 3}, lease="a")
    assert [standing.remaining for standing in await store.peek([TPM, RPM, DAY])] == [80, 2, 9 * 10**12 - 3]
    more = await store.acquire([charge(TPM, 10)], lease="b", lease_for=LEASE)
    await store.settle(more.taken, {TPM.name: 95}, lease="b")
    assert (await store.peek([TPM]))[0].remaining == 0
    none = await store.acquire([charge(MONTH, 7)], lease="c", lease_for=LEASE)
    await store.settle(none.taken, {}, lease="c")
    assert (await store.peek([MONTH]))[0].remaining == 1000


async def test_requests_under_way_are_counted_until_they_are_over_or_given_up(store: LimitStore) -> None:
    first = await store.acquire([charge(NOW)], lease="a", lease_for=LEASE)
    assert (await store.acquire([charge(NOW)], lease="b", lease_for=0.2)).refused is None
    refused = await store.acquire([charge(NOW)], lease="c", lease_for=LEASE)
    assert refused.refused is not None
    assert refused.retry_after is None, "nobody can say"
    await store.settle(first.taken, {}, lease="a")
    assert (await store.acquire([charge(NOW)], lease="d", lease_for=LEASE)).refused is None

    async def given_up() -> bool:
        return (await store.acquire([charge(NOW)], lease="e", lease_for=LEASE)).refused is None

    await until_async(given_up, within=3, what="the lost request's lease to end")


async def test_a_limit_of_nothing_admits_nobody(store: LimitStore) -> None:
    nothing = Limit(subject="key:x", unit=Unit.REQUESTS, period=Period.MINUTE, amount=0)
    assert (await store.acquire([charge(nothing)], lease="a", lease_for=LEASE)).refused is not None


async def test_many_at_once_take_exactly_what_there_is(server: RedisServer, redis: Redis) -> None:
    limit = Limit(subject="key:busy", unit=Unit.REQUESTS, period=Period.MINUTE, amount=300)
    other = connect(RedisConfig(url=server.url))
    stores = [RedisLimits(redis, "test"), RedisLimits(other, "test")]
    asked = [stores[number % 2].acquire([charge(limit)], lease=str(number), lease_for=LEASE) for number in range(1000)]
    admissions = await asyncio.gather(*asked)
    await other.aclose()
    assert sum(admission.refused is None for admission in admissions) == 300


async def test_one_admission_is_one_call_on_keys_of_one_tag_that_all_expire(redis: Redis) -> None:
    store = RedisLimits(redis, "p")
    await store.acquire([charge(RPM)], lease="a", lease_for=LEASE)
    calls = (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"]
    await store.acquire([charge(TPM, 5), charge(RPM), charge(DAY), charge(MONTH), charge(NOW)], lease="b", lease_for=9)
    assert (await redis.info("commandstats"))["cmdstat_evalsha"]["calls"] == calls + 1
    keys = [str(key) for key in await redis.keys("*")]
    assert len(keys) == 5
    assert all(key.startswith("{p}:") for key in keys)
    assert all([await redis.ttl(key) > 0 for key in keys])


STEPS = st.lists(
    st.tuples(st.sampled_from([RPM, TPM, DAY, MONTH]), st.integers(0, 120), st.none() | st.integers(0, 150)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_redis_and_the_process_count_alike(redis: Redis, steps: list[tuple[Limit, int, int | None]]) -> None:
    await redis.flushall()
    there, here = RedisLimits(redis, "same"), LocalLimits(time.time)
    for number, (limit, cost, actual) in enumerate(steps):
        both = [await store.acquire([charge(limit, cost)], lease=str(number), lease_for=9) for store in (there, here)]
        told = [(found.refused is None, [s.remaining for s in found.standings]) for found in both]
        assert told[0] == told[1]
        if actual is not None:
            for store, found in zip(cast("list[LimitStore]", [there, here]), both, strict=True):
                await store.settle(found.taken, {limit.name: actual}, lease=str(number))
        assert [s.remaining for s in await there.peek([limit])] == [s.remaining for s in await here.peek([limit])]


@given(
    asked=st.lists(st.tuples(st.floats(0, 9), st.integers(1, 40), st.integers(0, 60)), max_size=200),
    amount=st.integers(1, 120),
)
def test_no_sixty_seconds_ever_hold_more_than_the_limit(asked: list[tuple[float, int, int]], amount: int) -> None:
    limit = Limit(subject="k", unit=Unit.TOKENS, period=Period.MINUTE, amount=amount)
    counts, now, admitted = LimitCounts(), 1_790_000_000.0, list[tuple[float, int]]()
    for pause, cost, used in asked:
        now += pause
        found = counts.acquire([charge(limit, cost)], lease="a", lease_for=9, now=now)
        if found.refused is None:
            kept = min(used, cost)
            counts.settle(found.taken, {limit.name: kept}, lease="a", now=now)
            admitted.append((now, kept))
            window = sum(tokens for at, tokens in admitted if now - 60 < at)
            assert window <= amount
        elif found.retry_after is not None:
            assert 0 < found.retry_after <= 61
            again = counts.acquire([charge(limit, cost)], lease="a", lease_for=9, now=now + found.retry_after)
            assert again.refused is None, "it is admitted when it was said to be"
            counts.settle(again.taken, {}, lease="a", now=now + found.retry_after)
            now += found.retry_after


def test_nearly_all_of_a_limit_can_be_used() -> None:
    limit = Limit(subject="k", unit=Unit.REQUESTS, period=Period.MINUTE, amount=600)
    counts, start = LimitCounts(), 1_790_000_000.3
    admitted = sum(
        counts.acquire([charge(limit)], lease="a", lease_for=9, now=start + step / 20).refused is None
        for step in range(20 * 1200)
    )
    assert admitted >= 0.97 * 600 * 20


@given(st.lists(st.tuples(st.sampled_from([RPM, TPM, DAY, MONTH, NOW]), st.integers(0, 90)), max_size=40))
def test_what_is_given_back_leaves_nothing_behind(asked: list[tuple[Limit, int]]) -> None:
    counts, now = LimitCounts(), 1_790_000_000.0
    held = []
    for number, (limit, cost) in enumerate(asked):
        found = counts.acquire([charge(limit, cost)], lease=str(number), lease_for=900, now=now + number / 10)
        held.append((str(number), found.taken))
    for lease, taken in held:
        counts.settle(taken, {}, lease=lease, now=now + 5)
    standings = counts.peek([RPM, TPM, DAY, MONTH, NOW], now=now + 5)
    assert [s.remaining for s in standings] == [s.limit.amount for s in standings]


@given(st.floats(0, 4e9))
def test_months_begin_and_end_with_the_calendar(now: float) -> None:
    month = month_of(now)
    assert month_begins(month) <= now < month_begins(month + 1)


@pytest_asyncio.fixture
async def proxy(server: RedisServer) -> AsyncIterator[SlowProxy]:
    async with SlowProxy(server.port) as running:
        yield running


async def fallback(port: int) -> tuple[FallbackLimits, Redis]:
    redis = connect(RedisConfig(url=f"redis://127.0.0.1:{port}/0"))
    primary, local = RedisLimits(redis, "test"), LocalLimits(time.time)
    return FallbackLimits(primary, local, timeout=0.1, clock=time.monotonic), redis


async def admit(store: LimitStore, lease: str) -> bool:
    found = await store.acquire([charge(TPM, 1)], lease=lease, lease_for=LEASE)
    await store.settle(found.taken, {TPM.name: 1}, lease=lease)
    return found.degraded


@pytest.mark.parametrize("trouble", ["slow", "dead"])
async def test_a_store_that_does_not_answer_in_time_is_stood_in_for_until_it_does(
    redis: Redis, proxy: SlowProxy, trouble: str
) -> None:
    store, connection = await fallback(proxy.port)
    assert not await admit(store, "before")
    proxy.delay, proxy.dead = (0.5, False) if trouble == "slow" else (0.0, True)
    degraded = [await admit(store, f"while {number}") for number in range(20)]
    assert all(degraded)
    assert store.degraded
    assert store.fallbacks == 20
    proxy.delay, proxy.dead = 0.0, False

    async def recovered() -> bool:
        return not await admit(store, "after")

    await until_async(recovered, within=10, what="the store to be asked again")
    assert not store.degraded
    await store.close()
    await connection.aclose()


async def test_a_redis_that_is_killed_and_started_again_is_found_again(tmp_path: Path) -> None:
    async with RedisServer(tmp_path / "own") as server:
        store, connection = await fallback(server.port)
        assert not await admit(store, "before")
        await server.stop()
        assert await admit(store, "while")
        await server.start()

        async def recovered() -> bool:
            return not await admit(store, "after")

        await until_async(recovered, within=10, what="the store to be asked again")
        await store.close()
        await connection.aclose()


async def test_what_a_late_answer_took_is_given_back(redis: Redis, proxy: SlowProxy) -> None:
    store, connection = await fallback(proxy.port)
    await admit(store, "warm")
    proxy.delay = 0.3
    found = await store.acquire([charge(NOW)], lease="late", lease_for=LEASE)
    assert found.degraded
    proxy.delay = 0.0
    direct = RedisLimits(redis, "test")

    async def free() -> bool:
        return (await direct.peek([NOW]))[0].remaining == NOW.amount

    await until_async(free, within=5, what="the late admission to be given back")
    await store.close()
    await connection.aclose()


async def test_an_error_names_no_address() -> None:
    redis = connect(RedisConfig(url="redis://:hush@127.0.0.1:1/0"))
    with pytest.raises(StoreError) as error:
        await RedisLimits(redis, "p").acquire([charge(RPM)], lease="a", lease_for=LEASE)
    assert "hush" not in str(error.value)
    assert "127.0.0.1" not in str(error.value)
    await redis.aclose()
