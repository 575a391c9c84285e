"""A real Redis, one for the tests of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from processor.adapters.redis_connection import connect
from processor.config import RedisConfig
from tests.support.redis_server import RedisServer


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
