"""Keys that are made, rotated and revoked while the gateway runs; and every place where an SDK puts one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

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
        unknown = await admin.get("/limits", params={"key": "by http"})
        assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "key")
        for name in ("team/a", "{braces}", "ключ?"):
            path = f"/keys/{quote(name, safe='')}"
            made = await admin.post("/keys", json={"name": name})
            assert (await admin.post(f"{path}/rotate")).json()["name"] == name == made.json()["name"]
            assert (await admin.delete(path)).json() == {"revoked": name}
        missing = await admin.delete("/keys/written")
        assert missing.status_code == 404
        assert "gateway.yaml" in missing.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ("{", None, "The body is not JSON: "),
        ("[]", None, "The body is not a JSON object."),
        ({}, None, "name is missing"),
        ({"name": ""}, "name", 'expected a name of 1 to 256 printable characters, got ""'),
        ({"name": "a\nb"}, "name", r'expected a name of 1 to 256 printable characters, got "a\nb"'),
        ({"name": 7}, "name", "name: expected str, got 7: put it in quotes"),
        ({"nam": "x"}, "nam", "nam: unknown key, did you mean name?"),
        ({"sha256": "0" * 64}, "sha256", "sha256: unknown key"),
        ({"models": "chat"}, "models", "models: expected a list, got "),
        ({"models": []}, "models", "models: expected at least 1 here, got an empty list"),
        ({"models": ["no such"]}, "models[0]", 'without spaces, got "no such"'),
        ({"providers": [1]}, "providers[0]", "providers[0]: expected str, got 1"),
        ({"team": None}, "team", "team: expected str, got nothing"),
        ({"limits": {"rpm": "many"}}, "limits.rpm", 'limits.rpm: expected int, got "many"'),
        ({"limits": {"tpm": -1}}, "limits.tpm", "limits.tpm: expected int >= 0, got -1"),
        ({"limits": {"concurrent": True}}, "limits.concurrent", "expected int, got true"),
        ({"limits": {"rps": 1}}, "limits.rps", "limits.rps: unknown key, did you mean rpm?"),
        ({"limits": 5}, "limits", "limits: expected a mapping, got 5"),
        (
            {"budget": {"usd_per_day": -5}},
            "budget.usd_per_day",
            "expected an amount of money such as 20 or 0.05, got -5",
        ),
        ({"budget": {"usd_per_month": "much"}}, "budget.usd_per_month", 'got "much"'),
        ({"budget": {"on_budget": "beg"}}, "budget.on_budget", 'expected refuse or reroute, got "beg"'),
        (
            {"expires": "soon"},
            "expires",
            'expires: expected a date such as 2027-01-31, or 2027-01-31T12:00:00Z, got "soon"',
        ),
        ({"expires": "9999-12-31T23:59:59-12:00"}, "expires", "expires: expected a date"),
        ({"expires": 1e300}, "expires", "expires: expected a date"),
        ({"expires": "2020-01-01"}, "expires", "expires: 2020-01-01T00:00:00Z is past"),
        ({"tags": {"a": 1}}, "tags", "tags: expected a mapping of texts"),
    ],
)
async def test_a_key_that_cannot_be_is_a_400_that_names_the_field_and_what_it_holds(
    gateway: Gateway, api_port: int, body: object, param: str | None, message: str
) -> None:
    if isinstance(body, dict) and param not in (None, "name", "nam"):
        body = {"name": "never", **body}
    content = body if isinstance(body, str) else json.dumps(body)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api_port}", timeout=10) as admin:
        answer = await admin.post("/keys", content=content)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
        assert message in error["message"]
        assert "never" not in (await admin.get("/keys")).text
    assert "Traceback" not in gateway.log.read_text()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "The body is not a JSON object."),
        ({"grace_seconds": "1h"}, 'grace_seconds: expected float, got "1h"'),
        ({"grace_seconds": True}, "grace_seconds: expected float, got true"),
        ({"grace_seconds": -1}, "grace_seconds: expected float >= 0.0, got -1"),
        ({"grace_seconds": 1e300}, "grace_seconds: expected float <= "),
        ({"grace": 5}, "grace: unknown key; known here: grace_seconds"),
    ],
)
async def test_a_grace_that_cannot_be_is_a_400_and_rotates_nothing(
    gateway: Gateway, api_port: int, body: object, message: str
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api_port}", timeout=10) as admin:
        await admin.post("/keys", json={"name": "staying"})
        before = (await admin.get("/keys")).json()
        answer = await admin.post("/keys/staying/rotate", content=content)
        assert (answer.status_code, message in answer.json()["error"]["message"]) == (400, True)
        assert (await admin.get("/keys")).json() == before


async def test_what_is_shown_of_a_key_makes_another_like_it_by_either_way(gateway: Gateway, api_port: int) -> None:
    words = (
        *("--team", "t", "--models", "chat,deepseek/*", "--providers", "one", "--rpm", "0", "--usd-per-day", "2.5"),
        *("--on-budget", "reroute", "--expires", "2099-12-31", "--tag", "owner=ana"),
    )
    assert (await command(gateway, "create", "--name", "by command", *words))[0] == 0
    own = {"name", "source", "sha256"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api_port}", timeout=10) as admin:
        (first,) = [key for key in (await admin.get("/keys")).json() if key["name"] == "by command"]
        fields = {name: value for name, value in first.items() if name not in own}
        assert fields["expires"] == "2099-12-31T00:00:00Z"
        second = (await admin.post("/keys", json={"name": "by post", **fields})).json()
    assert {name: value for name, value in second.items() if name not in {*own, "key"}} == fields


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--name", ""), 'name: expected a name of 1 to 256 printable characters, got ""'),
        (("--name", "x", "--models", ","), "models: expected at least 1 here, got an empty list"),
        (("--name", "x", "--rpm", "-5"), "limits.rpm: expected int >= 0, got -5"),
        (
            ("--name", "x", "--usd-per-day", "much"),
            "budget.usd_per_day: expected an amount of money such as 20 or 0.05, ",
        ),
        (("--name", "x", "--expires", "soon"), "expires: expected a date such as 2027-01-31"),
        (("--name", "x", "--expires", "0m"), "is past"),
        (("--name", "x", "--expires", "999999w"), "is later than any date"),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
async def test_the_command_says_what_is_wrong_in_one_line(
    gateway: Gateway, tmp_path: Path, words: tuple[str, ...], message: str, *, shared: bool
) -> None:
    (tmp_path / "gateway.yaml").write_text("demo: true")
    code, out, error = await command(gateway if shared else Gateway(tmp_path), "create", *words)
    assert (code, out) == (2, "")
    assert message in error.splitlines()[-1]
    assert "Traceback" not in error


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
    words = ("--rpm", "5", "--usd-per-day", "2.5", "--expires", "30d", "--models", "a,b*", "--tag", "owner=${HOME}")
    code, out, _ = await command(plain, "create", "--name", "mine", *words)
    assert code == 0
    key, _, line = out.splitlines()
    assert key.startswith("sk-gw-")
    assert '"limits": {"rpm": 5}' in line
    assert key not in line
    (tmp_path / "gateway.yaml").write_text(f"demo: true\nkeys:\n{line}\n")
    code, out, _ = await command(plain, "list", "--json")
    (listed,) = json.loads(out)
    assert (listed["name"], listed["models"], listed["tags"]) == ("mine", ["a", "b*"], {"owner": "${HOME}"})
    assert (await command(plain, "create", "--name", "mine"))[2] == "There is a key named `mine` already."
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
