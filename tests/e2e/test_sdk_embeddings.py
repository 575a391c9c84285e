"""Embeddings with OpenAI's SDK, which asks for base64 unless told otherwise, at vendors with shapes of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from tests.support.fake_dialects import every_dialect
from tests.support.fake_dialects_embeddings import vector
from tests.support.fake_vendor import FakeVendor
from tests.support.gateway import Gateway

TEXTS = [f"text {number} 世界{'!' * (number % 3)}" for number in range(27)]
"""More than most vendors take at once; each of three words or fewer tokens, in an order that can be seen."""

CALLS = {
    "openai/text-embedding-3-small": 1,
    "ali/text-embedding-v2": 2,
    "ali/text-embedding-v4": 3,
    "silliconflow/BAAI/bge-m3": 1,
    "minimax/embo-01": 1,
    "gemini/gemini-embedding-2": 1,
    "gemini/gemini-embedding-001": 1,
    "bedrock/amazon.titan-embed-text-v2:0": len(TEXTS),
}
"""How often each vendor has to be asked."""
UNCOUNTED = ("gemini/gemini-embedding-001",)
"""Those whose vendor does not count."""
SIZED = (
    "openai/text-embedding-3-small",
    "ali/text-embedding-v4",
    "gemini/gemini-embedding-2",
    "bedrock/amazon.titan-embed-text-v2:0",
)


@pytest.fixture(autouse=True)
def speaking(vendor: FakeVendor) -> None:
    vendor.default = every_dialect


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sdk(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    """Not strict: that would have it validate the base64 which it asks for, and only then decode."""
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", CALLS)
async def test_many_texts_are_embedded_in_order(sdk: openai.AsyncOpenAI, vendor: FakeVendor, model: str) -> None:
    check(await sdk.embeddings.create(model=model, input=TEXTS), model)
    assert vendor.count == CALLS[model]


@pytest.mark.parametrize("model", CALLS)
async def test_numbers_are_given_as_such_where_they_are_wanted(sdk: openai.AsyncOpenAI, model: str) -> None:
    options: dict[str, Any] = {"_strict_response_validation": True}
    strict = openai.AsyncOpenAI(base_url=sdk.base_url, api_key=sdk.api_key, max_retries=0, **options)
    async with strict:
        check(await strict.embeddings.create(model=model, input=TEXTS, encoding_format="float"), model)


def check(answer: openai.types.CreateEmbeddingResponse, model: str) -> None:
    assert [item.embedding for item in answer.data] == [vector(text) for text in TEXTS]
    assert [item.index for item in answer.data] == list(range(len(TEXTS)))
    assert {item.object for item in answer.data} == {"embedding"}
    assert answer.object == "list"
    if model not in UNCOUNTED:
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (81, 81)


@pytest.mark.parametrize("model", CALLS)
async def test_one_text_is_embedded(sdk: openai.AsyncOpenAI, vendor: FakeVendor, model: str) -> None:
    answer = await sdk.embeddings.create(model=model, input="Good morning, 世界")
    (item,) = answer.data
    assert item.embedding == vector("Good morning, 世界")
    assert vendor.count == 1


@pytest.mark.parametrize("model", SIZED)
async def test_the_number_of_dimensions_is_chosen(sdk: openai.AsyncOpenAI, model: str) -> None:
    answer = await sdk.embeddings.create(model=model, input="Good morning", dimensions=256)
    assert answer.data[0].embedding == vector("Good morning", 256)


async def test_a_number_of_dimensions_that_cannot_be_chosen_is_refused(
    sdk: openai.AsyncOpenAI, vendor: FakeVendor
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.embeddings.create(model="minimax/embo-01", input="Good morning", dimensions=256)
    assert caught.value.param == "dimensions"
    assert vendor.count == 0
