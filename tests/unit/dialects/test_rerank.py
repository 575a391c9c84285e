"""Rerank: one shape in, one shape out, whatever the vendor answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.dialects.rerank import Rerank
from processor.errors import MalformedRequest, UpstreamError, UpstreamProtocolError
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked


def wanting(**fields: Any) -> Any:
    return asked(decode_fields(encode({"query": "q", "documents": ["a", "b", "c"], **fields})))


def told(results: Any, **fields: Any) -> Any:
    return decode(Rerank(path="/r").response(encode({"id": "1", "results": results}), wanting(**fields)).body)


@given(st.permutations(range(3)), st.integers(min_value=1, max_value=3), st.booleans())
def test_the_best_come_first_as_many_as_are_wanted(order: list[int], top: int, shown: bool) -> None:
    results = [{"index": index, "relevance_score": 1 - place / 10} for place, index in enumerate(order)]
    answer = told(results[::-1], top_n=top, return_documents=shown)
    assert [result["index"] for result in answer["results"]] == order[:top]
    documents = [result.get("document", {}).get("text") for result in answer["results"]]
    assert documents == (["abc"[index] for index in order[:top]] if shown else [None] * top)


@pytest.mark.parametrize("documents", [[1], [{"title": "a"}], [["a"]], [None]])
def test_a_document_without_a_text_is_refused_by_its_place(documents: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        Rerank(path="/r").request(wanting(documents=documents))
    assert (refused.value.param or "").startswith("documents")


@pytest.mark.parametrize(
    "results",
    [[{"index": 3, "relevance_score": 1}], [{"index": -1, "relevance_score": 1}], [{"index": 0}], [7], None, {}],
)
def test_a_ranking_of_something_else_is_no_answer(results: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        told(results)


def test_an_error_inside_a_success_is_one() -> None:
    with pytest.raises(UpstreamError) as refused:
        Rerank(path="/r", statuses={"1302": 429}).response(b'{"error":{"code":"1302","message":"busy"}}', wanting())
    assert refused.value.status == 429


def test_a_vendor_that_knows_no_return_documents_is_not_told() -> None:
    request = Rerank(path="/r", returns=False).request(wanting(return_documents=True))
    assert "return_documents" not in decode(request.body)
