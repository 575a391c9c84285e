from __future__ import annotations

import base64
import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.demo.embeddings import EmbeddingsRequest, embeddings


def vectors(**body: object) -> list[list[float]]:
    answer = embeddings(msgspec.convert(body, EmbeddingsRequest))
    assert [item["index"] for item in answer["data"]] == list(range(len(answer["data"])))
    return [item["embedding"] for item in answer["data"]]


@given(st.text(), st.integers(1, 64))
def test_a_vector_has_length_one_and_as_many_dimensions_as_asked_for(text: str, dimensions: int) -> None:
    [vector] = vectors(input=text, dimensions=dimensions)
    assert len(vector) == dimensions
    assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-5)


def test_the_same_text_has_the_same_vector_and_another_text_another() -> None:
    first, again, other = vectors(input=["cat", "cat", "dog"])
    assert len(first) == 1536
    assert first == again
    assert abs(sum(a * b for a, b in zip(first, other, strict=True))) < 0.2


def test_base64_holds_the_same_numbers_as_the_list() -> None:
    [floats] = vectors(input="cat", dimensions=8)
    answer = embeddings(EmbeddingsRequest(input="cat", dimensions=8, encoding_format="base64"))
    packed = base64.b64decode(answer["data"][0]["embedding"])
    assert list(struct.unpack("<8f", packed)) == floats


@pytest.mark.parametrize(
    ("given_input", "count"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([""], 1)]
)
def test_texts_and_token_lists_are_embedded_one_vector_each(given_input: object, count: int) -> None:
    assert len(vectors(input=given_input, dimensions=2)) == count


def test_the_answer_says_it_is_a_demo_and_counts_the_input() -> None:
    answer = embeddings(EmbeddingsRequest(input=["some words here", "and more"], dimensions=2))
    assert answer["model"] == "demo-embedding"
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 2
