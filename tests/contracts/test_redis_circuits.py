"""What one process finds out about a target the others know, through a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from processor.adapters.redis_circuits import RedisCircuits
from processor.adapters.redis_connection import connect
from processor.config import RedisConfig
from processor.policy.circuit import CircuitSettings, State
from processor.policy.health import Healths, TargetKey
from processor.policy.verdict import ANSWERED, Outcome, judge
from tests.support.gateway import until
from tests.support.redis_server import RedisServer

KEY = TargetKey("deepseek", "deepseek-chat", 1)
FAILED = judge(Outcome(status=503))


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path / "redis") as running:
        yield running


@asynccontextmanager
async def process(server: RedisServer) -> AsyncIterator[Healths]:
    """A process that shares its circuits."""
    healths = Healths(CircuitSettings(consecutive_failures=2, open_for=0.6))
    redis = connect(RedisConfig(url=server.url))
    circuits = RedisCircuits(redis, "test", healths, time.monotonic)
    running = asyncio.create_task(circuits.run())
    try:
        yield healths
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await redis.aclose()


async def listening(server: RedisServer, count: int) -> None:
    """Wait until so many processes listen."""
    redis = connect(RedisConfig(url=server.url))
    for _ in range(200):
        ((_, found),) = await redis.pubsub_numsub("{test}:circuit")
        if found >= count:
            break
        await asyncio.sleep(0.02)
    await redis.aclose()


def fail(healths: Healths, key: TargetKey = KEY) -> None:
    for _ in range(2):
        healths.of(key).begin(time.monotonic()).end(time.monotonic(), FAILED)


def state(healths: Healths, key: TargetKey = KEY) -> State:
    health = healths.peek(key)
    return health.circuit.state(time.monotonic()) if health else State.CLOSED


async def test_a_circuit_that_opens_here_is_open_there_and_a_probe_that_succeeds_frees_both(
    server: RedisServer,
) -> None:
    async with process(server) as here, process(server) as there:
        await listening(server, 2)
        fail(here)
        await until(lambda: state(there) is State.OPEN, within=3, what="the other to hold it")
        assert there.of(KEY).circuit.why.endswith("as another process saw")
        await until(lambda: state(here) is State.HALF_OPEN, within=3, what="its time to be over")
        here.of(KEY).begin(time.monotonic()).end(time.monotonic(), ANSWERED)
        await until(lambda: state(there) is not State.OPEN, within=3, what="the other to be free")


async def test_who_comes_later_knows_as_well(server: RedisServer) -> None:
    settings = CircuitSettings(consecutive_failures=2, open_for=30.0)
    redis = connect(RedisConfig(url=server.url))
    early = Healths(settings)
    circuits = RedisCircuits(redis, "test", early, time.monotonic)
    running = asyncio.create_task(circuits.run())
    fail(early)
    async with process(server) as late:
        await until(lambda: state(late) is State.OPEN, within=3, what="the later one to hold it")
        assert 20 < late.of(KEY).circuit.remaining(time.monotonic()) <= 30
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await redis.aclose()


async def test_a_redis_that_was_away_is_found_again(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    other = TargetKey("moonshot", "kimi", 0)
    async with process(server) as here, process(server) as there:
        await listening(server, 2)
        await server.stop()
        fail(here)
        assert state(here) is State.OPEN, "each on its own"
        await asyncio.sleep(0.3)
        assert state(there) is State.CLOSED
        await server.start()
        await listening(server, 2)
        fail(here, other)
        await until(lambda: state(there, other) is State.OPEN, within=5, what="the other to hold it")
    assert sum("not shared for now" in line for line in caplog.messages) == 2, "once for each process"


async def test_what_is_no_message_of_ours_changes_nothing(server: RedisServer) -> None:
    async with process(server) as here:
        await listening(server, 1)
        redis = connect(RedisConfig(url=server.url))
        for text in ("", "{}", "nonsense", '{"process":"x","provider":1}'):
            await redis.publish("{test}:circuit", text)
        await redis.publish(
            "{test}:circuit",
            '{"process":"x","provider":"deepseek","model":"deepseek-chat","credential":1,"seconds":9,"why":"w"}',
        )
        await until(lambda: state(here) is State.OPEN, within=3, what="the good one to be heard")
        await redis.aclose()
