"""A demo vendor that streams without pauses, and a client for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from processor.demo.server import serve


@pytest.fixture(scope="session")
async def demo_url() -> AsyncIterator[str]:
    stop = asyncio.Event()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(0, stop=stop, delay=0, listening=url.set_result))
    yield await url
    stop.set()
    await serving


@pytest.fixture
async def demo(demo_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(demo_url) as client:
        yield client
