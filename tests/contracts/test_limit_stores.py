"""What every store of limits does: in the process, and in a real Redis."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from processor.adapters.local_limits import LocalLimits
from processor.adapters.redis_connection import connect
from processor.adapters.redis_limits import RedisLimits
from processor.config import RedisConfig
from processor.policy.limit_counts import month_begins, month_of
from processor.policy.limits import Admission, Charge, Limit, Period, Unit
from processor.ports import LimitStore, StoreError
from tests.support.gateway import until_async
from tests.support.redis_server import RedisServer

RPM = Limit(subject="key:a", unit=Unit.REQUESTS, period=Period.MINUTE, amount=3)
TPM = Limit(subject="key:a", unit=Unit.TOKENS, period=Period.MINUTE, amount=100)
DAY = Limit(subject="key:a", unit=Unit.MONEY, period=Period.DAY, amount=9 * 10**12)
MONTH = Limit(subject="team:t", unit=Unit.TOKENS, period=Period.MONTH, amount=1000)
NOW = Limit(subject="model:m", unit=Unit.REQUESTS, period=Period.NOW, amount=2)
LEASE = 60.0


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


class AtTime(Redis):
    """Runs scripts at the time that the list `{clock}` holds: seconds, and microseconds."""

    def register_script(self, script: str | bytes | memoryview) -> AsyncScript:  # type: ignore[override] # of both kinds
        assert isinstance(script, str)
        assert "redis.call('TIME')" in script
        return super().register_script(script.replace("redis.call('TIME')", "redis.call('LRANGE', '{clock}', 0, 1)"))


@dataclass(slots=True)
class Clock:
    """Of both: in microseconds since the epoch."""

    redis: Redis
    now: int = 0

    def __call__(self) -> float:
        return self.now // 10**6 + self.now % 10**6 / 1e6

    async def set(self, now: int) -> None:
        self.now = now
        async with self.redis.pipeline() as pipe:
            pipe.delete("{clock}")
            pipe.rpush("{clock}", now // 10**6, now % 10**6)
            await pipe.execute()


PAUSES = st.sampled_from([-4000.0, -20.0, 0.0, 0.35, 1.0, 7.25, 59.5, 60.0, 61.0, 200.0, 86_400.0, 9e6]) | st.floats(
    0, 90
)
WANTED = st.lists(
    st.tuples(st.sampled_from([RPM, TPM, DAY, MONTH, NOW]), st.integers(0, 120)),
    min_size=1,
    max_size=4,
    unique_by=lambda wanted: wanted[0].name,
)
STEPS = st.lists(st.tuples(PAUSES, WANTED, st.none() | st.integers(0, 150)), min_size=1, max_size=12)
FROM_2100_TO_2400 = st.integers(4_102_444_800 * 10**6, 13_569_465_600 * 10**6)


def told(found: Admission) -> tuple[object, ...]:
    """What an admission says, but for fractions of a millisecond."""
    refused = found.refused and found.refused.limit.name
    times = [found.retry_after, *(standing.reset for standing in found.standings)]
    rounded = [None if time is None else pytest.approx(time, abs=0.002) for time in times]
    return refused, [one.slot for one in found.taken], [standing.remaining for standing in found.standings], rounded


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=FROM_2100_TO_2400, steps=STEPS)
async def test_redis_and_the_process_count_alike_at_any_time(
    redis: Redis, start: int, steps: list[tuple[float, list[tuple[Limit, int]], int | None]]
) -> None:
    await redis.flushall()
    clock = Clock(redis)
    await clock.set(start)
    there, here = RedisLimits(AtTime(connection_pool=redis.connection_pool), "same"), LocalLimits(clock)
    both: tuple[LimitStore, ...] = (there, here)
    for number, (pause, wanted, actual) in enumerate(steps):
        await clock.set(clock.now + int(pause * 10**6))
        charges = [charge(limit, 1 if limit is NOW else cost) for limit, cost in wanted]
        first, second = [await store.acquire(charges, lease=str(number), lease_for=100.0) for store in both]
        assert told(first) == told(second)
        if actual is not None:
            for store, found in zip(both, (first, second), strict=True):
                await store.settle(found.taken, {limit.name: actual for limit, _ in wanted}, lease=str(number))
        limits = [limit for limit, _ in wanted]
        assert [s.remaining for s in await there.peek(limits)] == [s.remaining for s in await here.peek(limits)]


@pytest.mark.parametrize("limit", [TPM, DAY, MONTH])
@pytest.mark.parametrize("taken", [0, 60])
async def test_a_refusal_in_a_new_period_counts_alike_when_the_clock_is_set_back(
    redis: Redis, limit: Limit, taken: int
) -> None:
    clock, midnight = Clock(redis), int(month_begins(2100 * 12) * 10**6)
    there, here = RedisLimits(AtTime(connection_pool=redis.connection_pool), "same"), LocalLimits(clock)
    found = []
    for store in (there, here):
        await clock.set(midnight - 10 * 10**6)
        if taken:
            await store.acquire([charge(limit, taken)], lease="a", lease_for=LEASE)
        await clock.set(midnight + 10 * 10**6)
        await store.acquire([charge(limit, limit.amount + 1)], lease="a", lease_for=LEASE)
        await clock.set(midnight - 10**6)
        found.append(told(await store.acquire([charge(limit, 30)], lease="b", lease_for=LEASE)))
    assert found[0] == found[1]


async def test_the_longest_lease_keeps_the_others(redis: Redis) -> None:
    store = RedisLimits(redis, "p")
    await store.acquire([charge(NOW)], lease="long", lease_for=900)
    await store.acquire([charge(NOW)], lease="short", lease_for=1)
    (key,) = await redis.keys("*")
    assert await redis.ttl(key) > 800


async def test_a_connection_that_redis_closed_is_made_anew_before_it_is_used(redis: Redis) -> None:
    store = RedisLimits(redis, "p")
    assert (await store.acquire([charge(RPM)], lease="a", lease_for=LEASE)).refused is None
    async with redis.client() as other:
        await other.client_kill_filter(_type="normal", skipme=True)

        async def closed() -> bool:
            return len(await other.client_list()) == 1

        await until_async(closed, within=3, what="the connection to be closed")
    assert (await store.acquire([charge(RPM)], lease="b", lease_for=LEASE)).refused is None


async def test_a_script_that_redis_has_forgotten_is_sent_again(redis: Redis) -> None:
    store = RedisLimits(redis, "p")
    await store.acquire([charge(RPM)], lease="a", lease_for=LEASE)
    await redis.script_flush()
    assert (await store.acquire([charge(RPM)], lease="b", lease_for=LEASE)).standings[0].remaining == 1


async def test_an_error_names_no_address() -> None:
    redis = connect(RedisConfig(url="redis://:hush@127.0.0.1:1/0"))
    with pytest.raises(StoreError) as error:
        await RedisLimits(redis, "p").acquire([charge(RPM)], lease="a", lease_for=LEASE)
    assert "hush" not in str(error.value)
    assert "127.0.0.1" not in str(error.value)
    await redis.aclose()
