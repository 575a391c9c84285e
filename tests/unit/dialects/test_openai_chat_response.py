from __future__ import annotations

from typing import Any

import pytest

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_repairs import HoistUsage, ReasoningContent, ToolCalls
from processor.domain import Usage
from processor.errors import UpstreamProtocolError, UpstreamRefused
from processor.wire.json import decode, encode
from tests.support.asked import asked

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def answer(message: dict[str, Any], **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return encode({"id": "1", "model": "m-1", "choices": [choice], **more})


def test_a_plain_answer_is_the_vendors_own_bytes() -> None:
    body = b'{"choices" : [ {"message":{"content":"caf\\u00e9"}} ], "usage" : {"prompt_tokens":3}, "model":"m-1"}'
    told = OpenAIChat(repairs=(ReasoningContent(), ToolCalls(), HoistUsage())).response(body, asked())
    assert told.body == body
    assert told.usage == Usage(input_tokens=3)
    assert told.model == "m-1"


def test_an_answer_without_a_count_is_measured() -> None:
    calls = [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]
    told = OpenAIChat().response(answer({"content": "日本", "reasoning_content": "ab", "tool_calls": calls}), asked())
    assert told.usage is None
    assert told.output_chars == 6 + 2 + 3


@pytest.mark.parametrize("usage", [None, {}, "many", 7])
def test_a_usage_that_is_no_count_is_none(usage: Any) -> None:
    assert OpenAIChat().response(answer({"content": "a"}, usage=usage), asked()).usage is None


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"choices":[', b"[1]", b'"hi"', b"null"])
def test_an_answer_that_is_no_json_object_breaks_the_protocol(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        OpenAIChat().response(body, asked())


@pytest.mark.parametrize("body", [b"{}", b'{"choices":null}', b'{"message":"hi"}', b'{"code":0,"message":"ok"}'])
def test_an_answer_without_choices_breaks_the_protocol(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        OpenAIChat().response(body, asked())


@pytest.mark.parametrize("error", [None, {}, "", {"message": "", "code": None}])
def test_an_empty_error_is_none(error: Any) -> None:
    assert OpenAIChat().response(answer({"content": "a"}, error=error), asked()).body


def test_an_error_inside_a_200_is_raised_with_the_status_it_means() -> None:
    with pytest.raises(UpstreamRefused) as refused:
        OpenAIChat(statuses={"77": 403}).response(b'{"error":{"message":"no","code":77}}', asked())
    assert (refused.value.status, refused.value.message, refused.value.code) == (403, "no", "77")


def test_a_content_that_is_not_text_is_passed_on() -> None:
    body = answer({"content": [{"type": "text", "text": "a"}]}, usage=USAGE)
    told = OpenAIChat(repairs=(ReasoningContent(),)).response(body, asked())
    assert told.body == body
    assert told.usage == Usage(input_tokens=3, output_tokens=2)
    assert told.model == "m-1"


def test_a_usage_in_the_choice_is_lifted() -> None:
    body = encode({"model": "m", "choices": [{"message": {"content": "a"}, "usage": USAGE}]})
    told = OpenAIChat(repairs=(HoistUsage(),)).response(body, asked())
    assert decode(told.body) == {"model": "m", "choices": [{"message": {"content": "a"}}], "usage": USAGE}
    assert told.usage == Usage(input_tokens=3, output_tokens=2)


def test_reasoning_under_both_names_stays_and_counts_once() -> None:
    body = answer({"content": "", "reasoning": "ab", "reasoning_content": "ab"})
    told = OpenAIChat(repairs=(ReasoningContent(),)).response(body, asked())
    assert told.body == body
    assert told.output_chars == 2


def test_calls_of_a_whole_answer_are_completed() -> None:
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"id": "x", "function": {"name": "g"}}]
    told = OpenAIChat(repairs=(ToolCalls(),)).response(answer({"content": None, "tool_calls": calls}), asked())
    choice = decode(told.body)["choices"][0]
    assert choice["message"]["tool_calls"] == [
        {"function": {"name": "f", "arguments": '{"a":1}'}, "id": "call_1_0", "type": "function"},
        {"id": "x", "function": {"name": "g", "arguments": "{}"}, "type": "function"},
    ]
    assert choice["finish_reason"] == "tool_calls"


def test_a_stream_for_a_client_that_did_not_want_one_is_folded() -> None:
    pieces: list[dict[str, Any]] = [
        {"index": 1, "delta": {"role": "assistant", "content": "b"}},
        {"index": 0, "delta": {"content": "a"}},
        {"index": 0, "delta": {"content": "c", "refusal": "no"}, "finish_reason": "stop"},
        {"index": 1, "delta": {}, "finish_reason": "length"},
    ]
    chunks = [{"id": "1", "created": 9, "model": "m", "choices": [piece]} for piece in pieces]
    counted = {"id": "1", "created": 9, "model": "m", "choices": [], "usage": USAGE}
    events = [b"data: " + encode(chunk) + b"\n\n" for chunk in (*chunks, counted)]
    told = OpenAIChat().response(b": wait\n\n" + b"".join(events) + b"data: [DONE]\n\n", asked())
    assert decode(told.body) == {
        "id": "1",
        "object": "chat.completion",
        "created": 9,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ac", "refusal": "no"},
                "finish_reason": "stop",
            },
            {"index": 1, "message": {"role": "assistant", "content": "b"}, "finish_reason": "length"},
        ],
        "usage": USAGE,
    }
    assert told.usage == Usage(input_tokens=3, output_tokens=2)


def test_a_stream_that_is_cut_is_not_folded() -> None:
    with pytest.raises(UpstreamProtocolError):
        OpenAIChat().response(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', asked())
