"""Gemini's events on their way to a client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from processor.dialects.gemini_stream import GeminiStream
from processor.domain import Usage
from processor.errors import UpstreamError, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import JSON, decode, encode
from processor.wire.sse import DONE, SSEDecoder
from tests.support.asked import asked
from tests.support.pieces import bytewise, cut, places


def event(parts: list[JSON] | None = None, *, index: int = 0, finish: str = "", **more: Any) -> bytes:
    candidate: JSON = {"index": index}
    if parts is not None:
        candidate["content"] = {"role": "model", "parts": parts}
    if finish:
        candidate["finishReason"] = finish
    return b"data: " + encode({"candidates": [candidate], "responseId": "r", "modelVersion": "g", **more}) + b"\r\n\r\n"


def stream(**more: Any) -> GeminiStream:
    return GeminiStream(asked(stream=True, **more))


def chunks(out: bytes) -> list[Any]:
    events = [event.data for event in SSEDecoder().feed(out)]
    assert events[-1] == b"[DONE]"
    for data in events[:-1]:
        ChatCompletionChunk.model_validate(decode(data))
    return [decode(data) for data in events[:-1]]


def deltas(out: bytes, index: int = 0) -> list[Any]:
    choices = [choice for chunk in chunks(out) for choice in chunk["choices"] if choice["index"] == index]
    return [choice["delta"] for choice in choices if choice["delta"]]


BODY = (
    event([{"text": "größe 🙂", "thought": True}, {"text": "你"}], usageMetadata={"promptTokenCount": 3})
    + event([{"functionCall": {"name": "clock", "args": {"zone": "Łódź"}}}])
    + b": a comment\r\n\r\n"
    + event(
        [], finish="STOP", usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 2}
    )
)


def whole(body: bytes = BODY) -> bytes:
    translator = stream()
    return translator.feed(body) + translator.close()


def test_lines_may_end_as_google_ends_them() -> None:
    assert whole() == whole(BODY.replace(b"\r\n", b"\n"))
    assert [*deltas(whole())[0]] == ["role", "content"]
    assert [next(iter(delta)) for delta in deltas(whole())[1:]] == ["reasoning_content", "content", "tool_calls"]


def test_a_stream_byte_by_byte() -> None:
    translator = stream()
    assert b"".join(map(translator.feed, bytewise(BODY))) + translator.close() == whole()


@given(at=places)
@settings(max_examples=150, deadline=None)
def test_a_stream_cut_at_random(at: list[int]) -> None:
    translator = stream()
    assert b"".join(map(translator.feed, cut(BODY, at))) + translator.close() == whole()


texts = st.lists(st.tuples(st.booleans(), st.text(max_size=6)), max_size=12)


@given(pieces=texts, sizes=st.lists(st.integers(1, 4), min_size=1, max_size=12), at=places)
@settings(max_examples=150, deadline=None)
def test_all_texts_arrive_in_order(pieces: list[tuple[bool, str]], sizes: list[int], at: list[int]) -> None:
    parts: list[JSON] = [{"text": text, "thought": True} if thought else {"text": text} for thought, text in pieces]
    body = b""
    for size in sizes:
        body += event(parts[:size])
        parts = parts[size:]
    body += event(parts, finish="STOP")
    translator = stream()
    out = b"".join(map(translator.feed, cut(body, at))) + translator.close()
    said = deltas(out)
    assert "".join(delta.get("content", "") for delta in said) == "".join(
        text for thought, text in pieces if not thought
    )
    assert "".join(delta.get("reasoning_content", "") for delta in said) == "".join(
        t for thought, t in pieces if thought
    )


def test_the_last_counts_are_the_streams() -> None:
    translator = stream()
    translator.feed(event([{"text": "a"}], usageMetadata={"promptTokenCount": 3}))
    assert translator.usage == Usage(input_tokens=3)
    translator.feed(event([{"text": "b"}]))
    assert translator.usage == Usage(input_tokens=3)
    translator.feed(event([], finish="STOP", usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 2}))
    assert translator.usage == Usage(input_tokens=3, output_tokens=2)
    assert (translator.model, translator.output_chars) == ("g", 2)


def test_a_usage_may_come_alone_and_late() -> None:
    translator = stream(include_usage=True)
    out = translator.feed(event([{"text": "a"}], finish="STOP"))
    out += translator.feed(b'data: {"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1}}\n\n')
    assert chunks(out + translator.close())[-1]["usage"]["total_tokens"] == 4


def test_nothing_a_client_can_use_has_passed_before_the_first_text() -> None:
    translator = stream()
    translator.feed(event([{"text": ""}]))
    assert not translator.content_seen
    translator.feed(event([{"text": "a"}]))
    assert translator.content_seen


@pytest.mark.parametrize(
    "part", [{"functionCall": {"name": "f"}}, {"inlineData": {"data": "AA=="}}, {"text": "t", "thought": True}]
)
def test_a_call_a_picture_and_a_thought_are_of_use_to_a_client(part: JSON) -> None:
    translator = stream()
    translator.feed(event([part]))
    assert translator.content_seen


def test_a_call_makes_the_finish_tool_calls_even_if_it_came_events_before() -> None:
    translator = stream()
    out = translator.feed(event([{"functionCall": {"name": "f"}}])) + translator.feed(
        event([{"text": "x"}], finish="STOP")
    )
    assert chunks(out + translator.close())[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_candidate_finishes_once() -> None:
    out = whole(event([{"text": "a"}], finish="STOP") + event([{"text": "b"}], finish="STOP"))
    assert [c["choices"][0]["finish_reason"] for c in chunks(out)] == [None, None, "stop", None]


def test_a_drawn_draft_is_not_an_answer() -> None:
    out = whole(event([{"inlineData": {"data": "AA=="}, "thought": True}], finish="STOP"))
    assert not any("images" in delta for delta in deltas(out))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b": comment\n\n",
        event([{"text": "a"}]),
        event([{"text": "a"}], finish="FINISH_REASON_UNSPECIFIED"),
        event([{"text": "a"}], finish="STOP") + event([{"text": "b"}], index=1),
        event([{"text": "a"}]) + event([], finish="STOP")[:-20],
    ],
    ids=["nothing", "a comment", "no finish", "no real finish", "another candidate", "half an event"],
)
def test_a_stream_that_ends_too_early_is_cut(body: bytes) -> None:
    translator = stream()
    translator.feed(body)
    with pytest.raises(UpstreamProtocolError) as cut_off:
        translator.close()
    assert cut_off.value.code == "upstream_stream_cut"


def test_a_last_event_may_lack_its_empty_line() -> None:
    assert whole(BODY[:-4]) == whole()


def test_an_error_in_the_middle_is_told_as_the_vendor_tells_it() -> None:
    translator = stream()
    translator.feed(event([{"text": "a"}]))
    with pytest.raises(UpstreamRefused) as refused:
        translator.feed(b'data: {"error":{"code":429,"message":"Slow","status":"RESOURCE_EXHAUSTED"}}\r\n\r\n')
    assert (refused.value.status, refused.value.code, refused.value.message) == (429, "RESOURCE_EXHAUSTED", "Slow")


def test_a_stream_ends_in_done_alone_without_include_usage() -> None:
    assert whole().endswith(b'"finish_reason":"tool_calls"}]}\n\n' + DONE)


names = (
    "candidates content parts text functionCall name args usageMetadata error code message finishReason index "
    "promptFeedback blockReason promptTokenCount logprobsResult"
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 600) | st.text(max_size=3) | st.just("STOP"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names.split()), inner, max_size=4),
    max_leaves=12,
)


@given(events=st.lists(values, max_size=4))
@settings(max_examples=300, deadline=None)
def test_no_event_breaks_a_stream_otherwise_than_as_the_vendors_fault(events: list[Any]) -> None:
    translator = stream()
    try:
        for found in events:
            translator.feed(b"data: " + encode(found) + b"\n\n")
        translator.close()
    except UpstreamError:
        pass
