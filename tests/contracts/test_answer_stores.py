"""What every store of answers does: in the process, and in a real Redis."""

from __future__ import annotations

import logging
import time

import pytest
from redis.asyncio import Redis

from processor.adapters.local_answers import LocalAnswers
from processor.adapters.redis_answers import RedisAnswers
from processor.adapters.redis_connection import connect
from processor.config import RedisConfig
from processor.ports import AnswerStore, KeptAnswer
from tests.support.gateway import free_port, until_async

SIZE = 64 * 1024


@pytest.fixture(params=["local", "redis"])
def store(request: pytest.FixtureRequest, redis: Redis) -> AnswerStore:
    if request.param == "redis":
        return RedisAnswers(redis, "test", timeout=1, clock=time.monotonic)
    return LocalAnswers(SIZE, time.monotonic)


def answer(body: bytes = b"\x00\xff{}") -> KeptAnswer:
    return KeptAnswer(body=body, content_type="application/json", target="one/a", model="a-1", at=1_790_000_000.25)


async def test_what_was_kept_is_found_to_the_byte_and_nothing_else(store: AnswerStore) -> None:
    await store.put("a", answer(), keep_for=60)
    assert await store.get("a") == answer()
    assert await store.get("b") is None


async def test_a_later_answer_takes_the_place_of_an_earlier(store: AnswerStore) -> None:
    await store.put("a", answer(b"old"), keep_for=60)
    await store.put("a", answer(b"new"), keep_for=60)
    assert await store.get("a") == answer(b"new")


async def test_it_is_forgotten_in_time(store: AnswerStore) -> None:
    await store.put("a", answer(), keep_for=0.2)
    assert await store.get("a") is not None

    async def forgotten() -> bool:
        return await store.get("a") is None

    await until_async(forgotten, within=5)


async def test_the_process_keeps_no_more_than_there_is_room_for() -> None:
    store = LocalAnswers(SIZE, time.monotonic)
    await store.put("large", answer(bytes(SIZE)), keep_for=60)
    assert await store.get("large") is None
    for number in range(20):
        await store.put(str(number), answer(bytes(10_000)), keep_for=60)
        assert await store.get("0") is not None, "who is asked for stays"
    kept = [number for number in range(20) if await store.get(str(number))]
    assert len(kept) == SIZE // 11_024
    assert kept[-1] == 19


async def test_what_another_version_wrote_is_nothing(redis: Redis) -> None:
    store = RedisAnswers(redis, "test", timeout=1, clock=time.monotonic)
    for written in ("", "text", "\x80"):
        await redis.set("test:answer:a", written)
        assert await store.get("a") is None


async def test_a_redis_that_is_away_is_asked_again_only_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    away = connect(RedisConfig(url=f"redis://127.0.0.1:{free_port()}/0"))
    store = RedisAnswers(away, "test", timeout=1, clock=lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await store.get("a") is None
            await store.put("a", answer(), keep_for=60)
            now += 0.9
    await away.aclose()
    assert len(caplog.records) == 1
