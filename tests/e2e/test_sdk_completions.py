"""Legacy completions with OpenAI's SDK, over vendors that only have a chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from tests.support.fake_dialects import every_dialect
from tests.support.fake_vendor import FakeVendor
from tests.support.gateway import Gateway

MODELS = (
    "anthropic/claude-sonnet-4-6",
    "azure/gpt-4o",
    "bedrock/us.anthropic.claude-sonnet-4-6",
    "gemini/gemini-2.5-flash",
    "golden-dashscope/qwen-plus",
    "golden-minimax-native/MiniMax-M3",
)
PROMPT = "Es war einmal, 世界"
ANSWER = f"You said: {PROMPT}"


@pytest.fixture(autouse=True)
def speaking(vendor: FakeVendor) -> None:
    vendor.default = every_dialect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
async def test_a_prompt_is_completed_whole(sdk: openai.AsyncOpenAI, model: str) -> None:
    options: dict[str, Any] = {"_strict_response_validation": True}
    async with openai.AsyncOpenAI(base_url=sdk.base_url, api_key=sdk.api_key, max_retries=0, **options) as strict:
        answer = await strict.completions.create(model=model, prompt=PROMPT, max_tokens=50)
    (choice,) = answer.choices
    assert (answer.object, choice.text, choice.finish_reason) == ("text_completion", ANSWER, "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 6)


@pytest.mark.parametrize("model", MODELS)
async def test_a_prompt_is_completed_in_pieces(sdk: openai.AsyncOpenAI, model: str) -> None:
    """Not strictly validated: the SDK's type knows no choice that is unfinished, as OpenAI's own chunks have it."""
    stream = await sdk.completions.create(
        model=model, prompt=PROMPT, max_tokens=50, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == ANSWER
    assert len(chunks) > 2
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (4, 6)
