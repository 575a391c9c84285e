"""Answers that take more calls: through Envoy, with one key, made good by the next target, ended with the client."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.fake_vendor import FakeVendor, Received, Reply
from tests.support.gateway import KEY_SHA256, Gateway

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 64
TASK = {"output": {"task_id": "t-1", "task_status": "RUNNING"}, "request_id": "r"}


@pytest_asyncio.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Gateway, FakeVendor]]:
    async with FakeVendor() as vendor:
        config = f"""
providers:
  ali: {{base_url: {vendor.url}, api_key: [${{KEY_1}}, ${{KEY_2}}]}}
  silliconflow: {{base_url: {vendor.url}, api_key: ${{KEY_1}}}}
  openai: {{base_url: {vendor.url}/openai, api_key: ${{KEY_2}}}}
models:
  pictures:
    targets: [{{provider: silliconflow, model: Kwai-Kolors/Kolors}}, {{provider: openai, model: dall-e-3}}]
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""
        folder = tmp_path_factory.mktemp("following")
        async with Gateway(folder, config, {"KEY_1": "sk-one", "KEY_2": "sk-two"}) as gateway:
            yield gateway, vendor


@pytest.fixture
def gateway(site: tuple[Gateway, FakeVendor]) -> Gateway:
    return site[0]


@pytest.fixture
def vendor(site: tuple[Gateway, FakeVendor]) -> FakeVendor:
    site[1].reset()
    return site[1]


@pytest_asyncio.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=30) as plain:
        yield plain


def wanted(model: str, form: str) -> dict[str, str]:
    return {"model": model, "prompt": "a cat", "response_format": form}


async def test_a_file_behind_a_url_is_fetched_and_no_credential_goes_there(
    client: httpx.AsyncClient, gateway: Gateway, vendor: FakeVendor
) -> None:
    before = len(gateway.records())
    vendor.script("/v1/images/generations", Reply.json({"images": [{"url": f"{vendor.url}/cat.png?sign=a%2Fb"}]}))
    vendor.script("/cat.png", Reply.of(PICTURE, headers=[("content-type", "image/png")]))
    answer = await client.post("/v1/images/generations", json=wanted("pictures", "b64_json"))
    assert answer.status_code == 200, answer.text
    assert b64decode(answer.json()["data"][0]["b64_json"]) == PICTURE
    fetched = vendor.last
    assert (fetched.method, fetched.target) == ("GET", "/cat.png?sign=a%2Fb")
    for name in ("authorization", "x-gateway-cluster", "x-forwarded-proto", "x-forwarded-for", "cookie"):
        assert fetched.header(name) is None, name
    records = await gateway.wait_for_records(before + 1)
    await asyncio.sleep(0.3)
    assert len(gateway.records()) == len(records) == before + 1, "one request, one record, whatever it took"


async def test_a_call_that_fails_is_made_good_by_the_next_target(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.script("/v1/images/generations", Reply.json({"images": [{"url": f"{vendor.url}/cat.png"}]}))
    vendor.script("/cat.png", Reply.of(b"<Error>gone</Error>", status=503))
    vendor.script("/openai/v1/images/generations", Reply.json({"created": 1, "data": [{"b64_json": "AAAA"}]}))
    answer = await client.post("/v1/images/generations", json=wanted("pictures", "b64_json"))
    assert (answer.status_code, answer.headers["x-gateway-attempts"]) == (200, "2")
    assert answer.headers["x-gateway-target"] == "openai/dall-e-3"
    assert answer.json()["data"][0]["b64_json"] == "AAAA"


async def test_the_last_target_s_failed_call_is_told(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    gone = f"http://127.0.0.1:9/{b64encode(b'x').decode()}"
    vendor.script("/v1/images/generations", Reply.json({"images": [{"url": gone}]}))
    model = "silliconflow/Kwai-Kolors/Kolors"
    answer = await client.post("/v1/images/generations", json=wanted(model, "b64_json"))
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"


async def test_a_task_is_asked_after_with_the_key_it_was_given_with(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    done = {"output": {"task_id": "t-1", "task_status": "SUCCEEDED", "results": [{"url": "https://x.example/1.png"}]}}

    def task(request: Received) -> Reply:
        return Reply.json(TASK if len(vendor.requests) < 3 else done)

    vendor.default = task
    for _ in range(2):
        vendor.reset()
        vendor.default = task
        answer = await client.post("/v1/images/generations", json=wanted("ali/wanx2.1-t2i-turbo", "url"))
        assert answer.json()["data"] == [{"url": "https://x.example/1.png"}]
        submitted, *asked = vendor.requests
        assert [request.target for request in asked] == ["/api/v1/tasks/t-1"] * len(asked)
        assert {request.header("authorization") for request in asked} == {submitted.header("authorization")}


async def test_nobody_asks_on_for_a_client_that_has_left(client: httpx.AsyncClient, vendor: FakeVendor) -> None:
    vendor.default = Reply.json(TASK)
    with pytest.raises(httpx.ReadTimeout):
        await client.post("/v1/images/generations", json=wanted("ali/wanx2.1-t2i-turbo", "url"), timeout=2)
    await asyncio.sleep(0.2)  # what was on its way
    asked = len(vendor.requests)
    assert asked > 1
    await asyncio.sleep(3)
    assert len(vendor.requests) == asked
