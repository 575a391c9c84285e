"""Pictures with OpenAI's SDK, by URL or in base64 as the client wants them, whatever the vendor gives."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx
import openai
import pytest
import pytest_asyncio
from openai.types import Image

from tests.support.fake_dialects_images import Painters, drawn
from tests.support.fake_vendor import FakeVendor
from tests.support.gateway import Gateway

MODELS = {
    "openai/dall-e-2": False,
    "openai/gpt-image-1": False,
    "minimax/image-01": False,
    "gemini/imagen-4.0-generate-001": False,
    "silliconflow/Kwai-Kolors/Kolors": True,
}
"""Each with whether a client that wants base64 has it fetched, since the vendor only has URLs."""


@pytest.fixture
def painters(vendor: FakeVendor) -> Painters:
    found = vendor.default = Painters()
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    options: dict[str, Any] = {"max_retries": 0, "_strict_response_validation": True}
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, **options) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
async def test_pictures_come_in_the_form_the_client_wants(
    sdk: openai.AsyncOpenAI, painters: Painters, model: str
) -> None:
    by_url, inline = await asyncio.gather(draw(sdk, model, "url"), draw(sdk, model, "b64_json"))
    assert [base64.b64decode(image.b64_json or "") for image in inline] == [drawn(0), drawn(1)]
    assert painters.fetched.total() == (2 if MODELS[model] else 0)
    assert [await fetched(image.url or "") for image in by_url] == [drawn(0), drawn(1)]


async def draw(sdk: openai.AsyncOpenAI, model: str, form: Literal["url", "b64_json"]) -> list[Image]:
    answer = await sdk.images.generate(model=model, prompt="a cat", n=2, size="1024x1024", response_format=form)
    return answer.data or []


async def fetched(url: str) -> bytes:
    """What is behind a URL."""
    if url.startswith("data:"):
        return base64.b64decode(url.partition("base64,")[2], validate=True)
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).content


async def test_a_task_is_asked_about_until_it_is_done(sdk: openai.AsyncOpenAI, painters: Painters) -> None:
    model = "ali/wanx2.1-t2i-turbo"
    by_url, inline = await asyncio.gather(draw(sdk, model, "url"), draw(sdk, model, "b64_json"))
    assert painters.asked_after == {"t-0": 2, "t-1": 2}
    assert painters.fetched == {"/drawn/0.png": 1, "/drawn/1.png": 1}
    assert [base64.b64decode(image.b64_json or "") for image in inline] == [drawn(0), drawn(1)]
    assert [await fetched(image.url or "") for image in by_url] == [drawn(0), drawn(1)]
    assert {image.revised_prompt for image in (*by_url, *inline)} == {"more of it"}


@pytest.mark.parametrize("model", MODELS)
async def test_one_picture_is_drawn_when_nobody_says_how_many(
    sdk: openai.AsyncOpenAI, painters: Painters, model: str
) -> None:
    answer = await sdk.images.generate(model=model, prompt="a cat")
    assert len(answer.data or ()) == 1
