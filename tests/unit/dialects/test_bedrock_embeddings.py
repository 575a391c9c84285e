from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.bedrock_embeddings import BedrockEmbeddings
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import JSON, decode, decode_fields, encode
from tests.support.asked import asked

TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-english-v3"


def wanted(model: str = TITAN, **fields: Any) -> Asked:
    return asked(decode_fields(encode(fields)), model=model)


def titan(sent: JSON) -> JSON:
    """A vector that tells its text's number."""
    return {"embedding": [float(sent["inputText"])], "inputTextTokenCount": 2}


def cohere(sent: JSON) -> JSON:
    return {"embeddings": [[float(text)] for text in sent["texts"]]}


def played(request: Asked, vendor: Any) -> tuple[ClientResponse, list[int]]:
    """The answer, and how many calls each round took."""
    translator = BedrockEmbeddings()
    calls: tuple[Any, ...] = (translator.request(request),)
    rounds = [1]
    answer = translator.response(encode(vendor(decode(calls[0].body))), request)
    while isinstance(answer, Pending):
        assert all(isinstance(call, UpstreamRequest) for call in answer.calls)
        rounds.append(len(answer.calls))
        bodies = tuple(encode(vendor(decode(call.body))) for call in answer.calls if isinstance(call, UpstreamRequest))
        answer = answer.then(bodies)
    return answer, rounds


def numbers(answer: ClientResponse) -> list[float]:
    return [entry["embedding"][0] for entry in decode(answer.body)["data"]]


@given(count=st.integers(min_value=1, max_value=60))
@settings(max_examples=30, deadline=None)
def test_titans_texts_go_one_by_one_and_come_back_in_their_order(count: int) -> None:
    answer, rounds = played(wanted(input=[str(number) for number in range(count)]), titan)
    assert numbers(answer) == list(range(count))
    assert answer.usage == Usage(input_tokens=2 * count)
    assert sum(rounds) == count
    assert max(rounds) <= 16


def test_coheres_texts_go_by_the_batch() -> None:
    answer, rounds = played(wanted(COHERE, input=[str(number) for number in range(200)]), cohere)
    assert numbers(answer) == list(range(200))
    assert rounds == [1, 2]
    assert answer.usage is None


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (TITAN, {}, "input"),
        (TITAN, {"input": []}, "input"),
        (TITAN, {"input": [[1, 2]]}, "input[0]"),
        (TITAN, {"input": "a", "encoding_format": "int8"}, "encoding_format"),
        (TITAN, {"input": "a", "input_type": "search_query"}, "input_type"),
        ("amazon.titan-embed-text-v1", {"input": "a", "dimensions": 256}, "dimensions"),
        (COHERE, {"input": "a", "dimensions": 256}, "dimensions"),
        ("us.amazon.nova-pro-v1:0", {"input": "a"}, "model"),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_its_name(model: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        BedrockEmbeddings().request(wanted(model, **fields))
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"embedding":["a"]}', b'{"message":"No."}'])
def test_an_answer_without_vectors_breaks_the_protocol(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        BedrockEmbeddings().response(body, wanted(input="a"))


def test_an_answer_with_too_few_vectors_breaks_the_protocol() -> None:
    with pytest.raises(UpstreamProtocolError, match="2 texts with 1 vectors"):
        BedrockEmbeddings().response(b'{"embeddings":[[1]]}', wanted(COHERE, input=["a", "b"]))


def test_there_is_no_stream() -> None:
    with pytest.raises(UpstreamProtocolError):
        BedrockEmbeddings().stream(wanted(input="a"))
