"""Answers in OpenAI's dialect that are damaged in ways the golden cases' damage does not reach."""

from __future__ import annotations

import pytest

from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import StreamOnly
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.sse import DONE
from tests.support.asked import asked

BAD_TEXT = b'{"model":"m","choices":[{"delta":{"content":"a"}}],%s}'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize("bad", [b'"usage":{"total_tokens":1e999}', b'"usage":{"prompt_tokens":1},"x":1e999'])
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_number_that_is_not_read_may_be_too_large_for_us(bad: bytes, include_usage: bool) -> None:
    stream = OpenAIChat().stream(asked(include_usage=include_usage))
    out = stream.feed(b"data: " + BAD_TEXT % bad + b"\n\n" + FINISH) + stream.close()
    assert b'"content":"a"' in out
    assert out.endswith(FINISH + DONE)


@pytest.mark.parametrize("bad", [b'"usage":{"\xff":1}', b'"usage":{"prompt_tokens":1},"x":"\xff"', b'"x":"\xff"'])
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_chunk_that_is_not_utf_8_where_nobody_reads_it_is_left_out(bad: bytes, include_usage: bool) -> None:
    stream = OpenAIChat().stream(asked(include_usage=include_usage))
    assert stream.feed(b"data: " + BAD_TEXT % bad + b"\n\n" + FINISH) + stream.close() == FINISH + DONE
    assert (stream.malformed, stream.output_chars, stream.usage) == (1, 0, None)


def test_a_chunk_whose_usage_cannot_be_taken_off_is_left_out() -> None:
    stream = OpenAIChat().stream(asked(include_usage=False))
    assert stream.feed(b'data: {"choices":[],"x":1e999,"usage" : null}\n\n') == b""
    assert stream.malformed == 1


def test_a_finish_that_was_left_out_for_its_usage_leaves_the_stream_cut() -> None:
    stream = OpenAIChat().stream(asked(include_usage=False))
    assert stream.feed(b'data: {"usage":{},"x":1e999,"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n') == b""
    with pytest.raises(UpstreamProtocolError) as cut:
        stream.close()
    assert (cut.value.code, stream.malformed) == ("upstream_stream_cut", 1)


def test_a_whole_answer_whose_usage_cannot_be_read_has_no_count() -> None:
    body = b'{"choices":[{"message":{"content":"ab"}}],"usage":{"\xff":1}}'
    told = OpenAIChat().response(body, asked())
    assert (told.body, told.usage, told.output_chars) == (body, None, 2)


def test_a_folded_stream_leaves_out_what_is_not_json() -> None:
    chat = OpenAIChat(edits=(StreamOnly(("q*",)),))
    text = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}\n\n'
    told = chat.response(b'data: {"choices":[],"x":"\xff"}\n\n' + text + FINISH + DONE, asked())
    assert b'"content":"a"' in told.body
    assert (told.usage, told.malformed) == (Usage(input_tokens=1), 1)
