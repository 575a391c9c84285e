"""Embeddings of Gemini in OpenAI's form: batches, base64, counts."""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from processor.dialects.base import Asked, ClientResponse, Pending, UpstreamRequest
from processor.dialects.gemini_embeddings import GeminiEmbeddings
from processor.dialects.vectors import base64_of
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked

EMBEDDINGS = GeminiEmbeddings()


def asking(*, drop_params: bool = False, **fields: Any) -> Asked:
    return asked(decode_fields(encode(fields)), model="gemini-embedding-001", drop_params=drop_params)


def texts_of(request: UpstreamRequest) -> list[str]:
    return [entry["content"]["parts"][0]["text"] for entry in decode(request.body)["requests"]]


def vendor(request: UpstreamRequest, *, tokens: int | None = None) -> bytes:
    """An answer whose vectors tell the text: `t17` is [17]."""
    found: dict[str, Any] = {"embeddings": [{"values": [int(text[1:])]} for text in texts_of(request)]}
    return encode(found if tokens is None else {**found, "usageMetadata": {"promptTokenCount": tokens}})


def joined(wanted: Asked, tokens: list[int | None]) -> ClientResponse:
    first = EMBEDDINGS.request(wanted)
    pending = EMBEDDINGS.response(vendor(first, tokens=tokens[0]), wanted)
    assert isinstance(pending, Pending)
    calls = [call for call in pending.calls if isinstance(call, UpstreamRequest)]
    answer = pending.then(tuple(vendor(call, tokens=count) for call, count in zip(calls, tokens[1:], strict=True)))
    assert isinstance(answer, ClientResponse)
    return answer


@pytest.mark.parametrize(("count", "batches"), [(101, [100, 1]), (250, [100, 100, 50]), (200, [100, 100])])
def test_a_long_list_is_split_and_joined_in_order(count: int, batches: list[int]) -> None:
    wanted = asking(input=[f"t{number}" for number in range(count)])
    pending = EMBEDDINGS.response(vendor(EMBEDDINGS.request(wanted)), wanted)
    assert isinstance(pending, Pending)
    sizes = [len(texts_of(call)) for call in pending.calls if isinstance(call, UpstreamRequest)]
    assert [100, *sizes] == batches
    answer = joined(wanted, [7] * len(batches))
    parsed = CreateEmbeddingResponse.model_validate(decode(answer.body))
    assert [entry.embedding for entry in parsed.data] == [[number] for number in range(count)]
    assert [entry.index for entry in parsed.data] == list(range(count))
    assert answer.usage == Usage(input_tokens=7 * len(batches))
    assert parsed.usage.total_tokens == 7 * len(batches)


def test_a_hundred_texts_are_one_call() -> None:
    wanted = asking(input=[f"t{number}" for number in range(100)])
    assert isinstance(EMBEDDINGS.response(vendor(EMBEDDINGS.request(wanted)), wanted), ClientResponse)


def test_a_count_that_one_batch_does_not_tell_is_not_known() -> None:
    wanted = asking(input=[f"t{number}" for number in range(101)])
    assert joined(wanted, [7, None]).usage is None


def test_a_batch_that_fails_fails_the_request() -> None:
    wanted = asking(input=[f"t{number}" for number in range(101)])
    pending = EMBEDDINGS.response(vendor(EMBEDDINGS.request(wanted)), wanted)
    assert isinstance(pending, Pending)
    with pytest.raises(UpstreamRefused, match="Slow"):
        pending.then((b'{"error":{"code":429,"message":"Slow","status":"RESOURCE_EXHAUSTED"}}',))


@given(vector=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_base64_is_little_endian_float32(vector: list[float]) -> None:
    data = b64decode(base64_of(vector), validate=True)
    assert [*struct.unpack(f"<{len(vector)}f", data)] == vector


def test_a_number_that_no_float32_holds_is_the_vendors_fault() -> None:
    with pytest.raises(UpstreamProtocolError):
        base64_of([1e300])


@pytest.mark.parametrize("given_input", [None, [], 5, [1, 2, 3], [[1, 2], [3]], ["a", 1], {"text": "a"}])
def test_what_is_no_text_is_refused(given_input: object) -> None:
    with pytest.raises(MalformedRequest) as refused:
        EMBEDDINGS.request(asking(input=given_input))
    assert refused.value.param == "input"


def test_other_parameters_are_refused_or_left_out() -> None:
    with pytest.raises(MalformedRequest) as refused:
        EMBEDDINGS.request(asking(input="a", truncate="END"))
    assert refused.value.param == "truncate"
    left_out = EMBEDDINGS.request(asking(input="a", truncate="END", drop_params=True))
    assert left_out == EMBEDDINGS.request(asking(input="a"))


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(MalformedRequest) as refused:
        EMBEDDINGS.request(asking(input="a", encoding_format="hex"))
    assert refused.value.param == "encoding_format"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"embeddings":[{}]}', b'{"embeddings":[{"values":["a"]}]}'])
def test_a_body_that_is_no_answer_is_the_vendors_fault(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        EMBEDDINGS.response(body, asking(input="a"))


def test_a_text_may_speak_of_an_error() -> None:
    body = b'{"embeddings":[{"values":[1],"note":"error"}], "warning":"\\"error\\""}'
    assert isinstance(EMBEDDINGS.response(body, asking(input="a")), ClientResponse)
