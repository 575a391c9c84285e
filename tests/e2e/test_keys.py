"""Keys that are made, rotated and revoked while the gateway runs; and every place where an SDK puts one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.fake_vendor import FakeVendor, chat_reply
from tests.support.gateway import KEY, KEY_SHA256, Gateway, free_port, until_async
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
BODY = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


@pytest_asyncio.fixture(scope="module")
async def redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def api_port() -> int:
    return free_port()


@pytest_asyncio.fixture(scope="module")
async def gateway(
    redis: RedisServer, api_port: int, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    async with FakeVendor(chat_reply("well")) as vendor:
        config = f"""
workers: 2
admin: {{api: {api_port}}}
providers:
  one: {{dialect: openai, base_url: {vendor.url}}}
models:
  chat: {{targets: [{{provider: one, model: a}}]}}
  other: {{targets: [{{provider: one, model: b}}]}}
redis: {{url: {redis.url}, timeout: 1s}}
keys:
- {{name: written, sha256: {KEY_SHA256}}}
- {{name: over, sha256: {"0" * 64}, expires: 2020-01-01}}
"""
        async with Gateway(tmp_path_factory.mktemp("keys"), config) as running:
            yield running


async def command(gateway: Gateway, *words: str) -> tuple[int, str, str]:
    """What `python -m processor keys …` answers."""
    options = ["--config", str(gateway.folder / "gateway.yaml"), "--state", str(gateway.state)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "processor", "keys", *words, *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode().strip(), err.decode().strip()


async def ask(gateway: Gateway, key: str, **more: object) -> httpx.Response:
    async with httpx.AsyncClient(base_url=gateway.url, headers={"authorization": f"Bearer {key}"}) as client:
        return await client.post("/v1/chat/completions", json={**BODY, **more}, timeout=30)


async def test_a_key_works_as_soon_as_it_is_made_and_is_what_it_was_made_to_be(gateway: Gateway) -> None:
    code, key, _ = await command(
        gateway, "create", "--name", "fresh", "--team", "t", "--models", "chat", "--rpm", "100", "--usd-per-day", "2.5"
    )
    assert (code, key[:6]) == (0, "sk-gw-")
    answers = [await ask(gateway, key) for _ in range(4)]
    assert {answer.status_code for answer in answers} == {200}, "in every worker"
    assert answers[0].headers["x-ratelimit-limit-requests"] == "100"
    record = await gateway.record_of(answers[0])
    assert (record["key"], record["team"]) == ("fresh", "t")
    assert (await ask(gateway, key, model="other")).status_code == 403
    code, listed, _ = await command(gateway, "list", "--json")
    (fresh,) = [one for one in json.loads(listed) if one["name"] == "fresh"]
    assert (fresh["source"], fresh["limits"], fresh["budget"]["usd_per_day"]) == ("redis", {"rpm": 100}, "2.5")
    assert key not in listed
    _, table, _ = await command(gateway, "list")
    assert "written" in table
    assert "rpm=100" in table


async def test_a_name_is_taken_once(gateway: Gateway) -> None:
    code, _, error = await command(gateway, "create", "--name", "written")
    assert (code, error) == (2, "There is a key named `written` already.")


async def test_a_rotated_key_works_beside_the_old_one_until_the_grace_is_over(gateway: Gateway) -> None:
    _, old, _ = await command(gateway, "create", "--name", "turning", "--models", "chat")
    _, new, _ = await command(gateway, "rotate", "turning", "--grace", "1h")
    assert [(await ask(gateway, key)).status_code for key in (old, new)] == [200, 200]
    _, last, _ = await command(gateway, "rotate", "turning", "--grace", "0m")

    async def ended() -> bool:
        return [(await ask(gateway, key)).status_code for key in (old, new)] == [401, 401]

    await until_async(ended, within=10, what="the old keys to end")
    assert (await ask(gateway, last)).status_code == 200
    assert (await ask(gateway, last, model="other")).status_code == 403, "it may do what the old one might"


async def test_a_revoked_key_is_one_soon_in_every_worker(gateway: Gateway) -> None:
    _, key, _ = await command(gateway, "create", "--name", "leaving")
    assert {(await ask(gateway, key)).status_code for _ in range(4)} == {200}
    assert (await command(gateway, "revoke", "leaving"))[1] == "leaving is revoked."

    async def gone() -> bool:
        return {(await ask(gateway, key)).status_code for _ in range(6)} == {401}

    await until_async(gone, within=10, what="the key to be revoked")
    assert (await command(gateway, "revoke", "leaving"))[0] == 2


async def test_the_same_over_http(gateway: Gateway, api_port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api_port}", timeout=10) as admin:
        made = await admin.post("/keys", json={"name": "by http", "limits": {"rpm": 7}})
        key = made.json()["key"]
        answer = await ask(gateway, key)
        assert answer.headers["x-ratelimit-limit-requests"] == "7"
        assert key not in (await admin.get("/keys")).text
        standing = (await admin.get("/limits", params={"key": "by http"})).json()
        assert (standing["degraded"], standing["limits"][0]["amount"]) == (False, 7)
        turned = (await admin.post("/keys/by http/rotate", json={"grace_seconds": 60})).json()["key"]
        assert [(await ask(gateway, one)).status_code for one in (key, turned)] == [200, 200]
        wrong = await admin.post("/keys", json={"name": "x", "limits": {"rpm": "many"}})
        assert (wrong.status_code, "rpm" in wrong.json()["error"]["message"]) == (400, True)
        foreign = await admin.post("/keys/by http/rotate", headers={"origin": "https://example.com"})
        assert foreign.status_code == 403, "no page in a browser rotates a key"
        assert (await admin.delete("/keys/by http")).json() == {"revoked": "by http"}
        missing = await admin.delete("/keys/written")
        assert missing.status_code == 404
        assert "gateway.yaml" in missing.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"authorization": f"Bearer {KEY}"}),
        ("", {"x-api-key": KEY}),
        ("", {"api-key": KEY}),
        ("", {"x-goog-api-key": KEY}),
        (f"?key={KEY}", {}),
        ("", {"sec-websocket-protocol": f"realtime, openai-insecure-api-key.{KEY}, openai-beta.realtime-v1"}),
    ],
)
async def test_a_key_is_found_wherever_an_sdk_puts_it(gateway: Gateway, query: str, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers) as client:
        answer = await client.post(f"/v1/chat/completions{query}", json=BODY, timeout=30)
    assert answer.status_code == 200
    record = await gateway.record_of(answer)
    assert record["key"] == "written"
    assert KEY not in record["path"]


async def test_without_redis_a_key_is_offered_with_the_line_that_makes_it_known(tmp_path: Path) -> None:
    plain = Gateway(tmp_path, "demo: true")
    (tmp_path / "gateway.yaml").write_text("demo: true")
    code, out, _ = await command(plain, "create", "--name", "mine", "--rpm", "5")
    assert code == 0
    key, _, line = out.splitlines()
    assert key.startswith("sk-gw-")
    assert '"limits": {"rpm": 5}' in line
    assert key not in line
    code, _, error = await command(plain, "revoke", "mine")
    assert (code, error) == (2, "Keys are made at run time only with `redis` in gateway.yaml.")


async def test_known_keys_outlive_redis_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    async with FakeVendor(chat_reply("well")) as vendor, RedisServer(tmp_path / "redis") as own:
        config = f"""
providers: {{one: {{dialect: openai, base_url: {vendor.url}}}}}
models: {{chat: {{targets: [{{provider: one, model: a}}]}}}}
redis: {{url: {own.url}, timeout: 1s}}
"""
        async with Gateway(tmp_path / "gateway", config) as running:
            _, key, _ = await command(running, "create", "--name", "made")
            assert (await ask(running, key)).status_code == 200
            await asyncio.sleep(1.5)  # until the worker has looked for changes
            await own.stop()
            assert (await ask(running, key)).status_code == 200
            assert (await ask(running, "sk-unknown")).status_code == 401
            code, _, error = await command(running, "list")
            assert (code, error) == (2, "Redis cannot be asked (ConnectionError); is `redis.url` right?")
