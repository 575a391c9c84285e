"""Embeddings in batches of any size come back in the inputs' order, in the form the client asked for."""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import ClientResponse, Fetch, Pending, UpstreamRequest
from processor.dialects.embeddings import MOST_INPUTS, OpenAIEmbeddings
from processor.dialects.embeddings_native import NativeEmbeddings, minimax_body, minimax_read
from processor.dialects.openai_chat_edits import ALL
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked


def wanting(**fields: Any) -> Any:
    return asked(decode_fields(encode({"model": "m", **fields})))


def vector_of(text: str) -> list[float]:
    return [float(len(text)), float(sum(map(ord, text)) % 97)]


def answered(request: UpstreamRequest | Fetch, *, backwards: bool) -> bytes:
    """What a vendor that counts a token a text says."""
    assert isinstance(request, UpstreamRequest)
    texts = decode(request.body)["input"]
    texts = [texts] if isinstance(texts, str) else texts
    data = [{"object": "embedding", "index": n, "embedding": vector_of(text)} for n, text in enumerate(texts)]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return encode({"object": "list", "model": "v", "data": data[::-1] if backwards else data, "usage": usage})


def asked_of(translator: OpenAIEmbeddings, request: Any, *, backwards: bool = False) -> tuple[ClientResponse, int]:
    """The answer, and how many calls it took."""
    answer = translator.response(answered(translator.request(request), backwards=backwards), request)
    calls = 1
    while isinstance(answer, Pending):
        calls += len(answer.calls)
        answer = answer.then(tuple(answered(call, backwards=backwards) for call in answer.calls))
    return answer, calls


def floats(embedding: str | list[float]) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    data = b64decode(embedding)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


@given(
    texts=st.lists(st.text(max_size=8), min_size=1, max_size=60),
    batch=st.integers(min_value=1, max_value=20),
    base64=st.booleans(),
    native=st.booleans(),
    backwards=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_split_and_joined(texts: list[str], batch: int, base64: bool, native: bool, backwards: bool) -> None:
    translator = OpenAIEmbeddings(path="/e", batches=((ALL, batch),), base64=native)
    form = "base64" if base64 and not native else "float"
    answer, calls = asked_of(translator, wanting(input=texts, encoding_format=form), backwards=backwards)
    told = decode(answer.body)
    assert calls == -(-len(texts) // batch)
    assert answer.usage is not None
    assert answer.usage.input_tokens == told["usage"]["prompt_tokens"] == len(texts)
    found = sorted(told["data"], key=lambda item: item["index"])
    assert [item["index"] for item in found] == list(range(len(texts)))
    assert [floats(item["embedding"]) for item in found] == list(map(vector_of, texts))
    assert all(isinstance(item["embedding"], str) is (form == "base64") for item in found)


@pytest.mark.parametrize(
    "given", [[], None, 7, {}, [1, "a"], ["a", [1]], [[1], "a"], [None], ["a"] * (MOST_INPUTS + 1), [[1.5]], [True]]
)
def test_what_cannot_be_embedded_is_refused(given: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        OpenAIEmbeddings(path="/e").request(wanting(input=given))
    assert (refused.value.param or "").startswith("input")


@pytest.mark.parametrize("tokens", [[1, 2], [[1], [2, 3]]])
def test_tokens_are_refused_where_a_vendor_takes_none(tokens: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        OpenAIEmbeddings(path="/e", tokens=False).request(wanting(input=tokens))
    assert refused.value.param == "input"


def test_dimensions_are_refused_where_they_are_fixed_or_left_out() -> None:
    fixed = OpenAIEmbeddings(path="/e", dimensions=("v3*",))
    fields = decode_fields(b'{"input":"a","dimensions":64}')
    with pytest.raises(MalformedRequest) as refused:
        fixed.request(asked(fields, model="v2"))
    assert refused.value.param == "dimensions"
    assert "dimensions" not in decode(fixed.request(asked(fields, model="v2", drop_params=True)).body)
    assert decode(fixed.request(asked(fields, model="v3")).body)["dimensions"] == 64


@pytest.mark.parametrize(
    "data", ["[]", '[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]},{"index":2,"embedding":[1]}]']
)
def test_a_vector_too_few_or_too_many_is_no_answer(data: str) -> None:
    translator = OpenAIEmbeddings(path="/e", base64=False)
    request = wanting(input=["a", "b"], encoding_format="base64")
    with pytest.raises(UpstreamProtocolError):
        translator.response(b'{"model":"v","data":%b}' % data.encode(), request)


def test_a_count_that_is_missing_makes_none_of_all() -> None:
    translator = OpenAIEmbeddings(path="/e", batches=((ALL, 1),))
    answer = translator.response(b'{"model":"v","data":[{"index":0,"embedding":[1]}]}', wanting(input=["a", "b"]))
    assert isinstance(answer, Pending)
    told = answer.then((b'{"model":"v","data":[{"index":0,"embedding":[2]}],"usage":{"prompt_tokens":1}}',))
    assert isinstance(told, ClientResponse)
    assert told.usage is None
    assert [item["embedding"] for item in decode(told.body)["data"]] == [[1], [2]]


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"nonsense", b'{"vectors":[1]}', b'{"vectors":[[1],[2]]}', b'{"vectors":7}']
)
def test_a_native_answer_that_is_none_is_said_to_be_none(body: bytes) -> None:
    translator = NativeEmbeddings(path="/e", body=minimax_body, read=minimax_read)
    with pytest.raises(UpstreamProtocolError):
        translator.response(body, wanting(input="a"))


def test_a_native_parameter_that_is_not_known_is_refused() -> None:
    translator = NativeEmbeddings(path="/e", body=minimax_body, read=minimax_read)
    with pytest.raises(MalformedRequest) as refused:
        translator.request(wanting(input="a", dimensions=64))
    assert refused.value.param == "dimensions"
