"""What the gateway refuses by itself: the right status and code, in OpenAI's shape, and never a vendor call."""

from __future__ import annotations

import httpx
import openai
import pytest

from tests.e2e.conftest import BODY_LIMIT, LIMITED_KEY
from tests.support.fake_vendor import FakeVendor
from tests.support.gateway import Gateway

GOOD = '{"model":"chat","messages":[]}'

REFUSALS = {
    "malformed JSON": ('{"model":', 400, "invalid_json"),
    "an empty body": ("", 400, "invalid_request"),
    "not an object": ("[1]", 400, "invalid_json"),
    "no model": ('{"messages":[]}', 400, "missing_model"),
    "a model of the wrong type": ('{"model":7,"messages":[]}', 400, "invalid_request"),
    "no messages": ('{"model":"chat"}', 400, "invalid_request"),
    "stream of the wrong type": ('{"model":"chat","messages":[],"stream":"yes"}', 400, "invalid_request"),
    "stream_options of the wrong type": ('{"model":"chat","messages":[],"stream_options":1}', 400, "invalid_request"),
    "an unknown model": ('{"model":"gpt-99","messages":[]}', 404, "model_not_found"),
    "a model of an unknown provider": ('{"model":"nobody/m","messages":[]}', 404, "model_not_found"),
    "not UTF-8": ('{"model":"chat","messages":["\udcff"]}', 400, "invalid_json"),
}


@pytest.mark.parametrize(("body", "status", "code"), REFUSALS.values(), ids=REFUSALS)
async def test_a_bad_body(client: httpx.AsyncClient, vendor: FakeVendor, body: str, status: int, code: str) -> None:
    answer = await client.post("/v1/chat/completions", content=body.encode("utf-8", "surrogateescape"))
    assert_refused(answer, status, code)
    assert vendor.count == 0


KEYS = {
    "no key": ({}, "missing_api_key"),
    "an unknown key": ({"authorization": "Bearer sk-wrong"}, "invalid_api_key"),
    "an empty key": ({"authorization": "Bearer"}, "missing_api_key"),
    "another scheme": ({"authorization": "Basic c2s6"}, "missing_api_key"),
    "a key that is not ASCII": ({"authorization": "Bearer ключ".encode()}, "invalid_api_key"),
}


@pytest.mark.parametrize(("headers", "code"), KEYS.values(), ids=KEYS)
async def test_a_bad_key(gateway: Gateway, vendor: FakeVendor, headers: dict[str, str], code: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for answer in (
            await client.post("/v1/chat/completions", content=GOOD, headers=headers),
            await client.get("/v1/models", headers=headers),
        ):
            assert_refused(answer, 401, code)
    assert vendor.count == 0


async def test_a_key_is_taken_where_other_sdks_put_it(gateway: Gateway, vendor: FakeVendor) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        for name in ("x-api-key", "api-key", "x-goog-api-key"):
            answer = await client.post("/v1/chat/completions", content=GOOD, headers={name: gateway.key})
            assert answer.status_code == 500, "the vendor refuses an empty conversation"
            assert vendor.last.header(name) is None
    vendor.failures.clear()


async def test_a_key_may_use_only_its_models(gateway: Gateway, vendor: FakeVendor) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url, api_key=LIMITED_KEY, max_retries=0) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["chat"]
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await sdk.chat.completions.create(model="backed-up", messages=[])
        assert refused.value.code == "model_not_allowed"
        with pytest.raises(openai.NotFoundError):
            await sdk.models.retrieve("backed-up")
    assert vendor.count == 0


async def test_the_wrong_method_is_a_405_that_names_the_right_one(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    answer = await client.get("/v1/chat/completions")
    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert_refused(await client.post("/models"), 405, "method_not_allowed")
    assert vendor.count == 0


async def test_an_unknown_path_or_provider_is_a_404_that_lists_the_known_ones(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    for path in ("/v1/nothing", "/nobody/v1/chat/completions", "/", "/deepseek"):
        answer = await client.post(path)
        assert_refused(answer, 404, "unknown_path")
        assert "bytedance" in answer.json()["error"]["message"]
        assert "/v1/chat/completions" in answer.json()["error"]["message"]
    assert vendor.count == 0


async def test_a_20_mb_body_passes_and_one_above_the_limit_is_a_413(
    client: httpx.AsyncClient, vendor: FakeVendor
) -> None:
    image = "data:image/png;base64," + "A" * 20_000_000
    parts = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": image}}]
    body = {"model": "house/vision", "messages": [{"role": "user", "content": parts}]}
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    assert vendor.last.json()["messages"] == body["messages"]
    too_large = b'{"model":"chat","messages":["' + b"A" * BODY_LIMIT + b'"]}'
    assert_refused(await client.post("/v1/chat/completions", content=too_large), 413, "request_too_large")
    assert vendor.count == 1


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    """The answer is an error in OpenAI's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code, error
    assert error["message"]
    assert len(answer.headers["x-request-id"]) == 36
