"""What vendors send may be damaged: bytes that no vendor should send must not become the gateway's own failure."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import Translator
from processor.dialects.openai_chat import OpenAIChat
from processor.dialects.openai_chat_edits import StreamOnly
from processor.domain import Operation, Usage
from processor.errors import MalformedRequest, UpstreamError
from processor.vendors import VENDORS
from processor.vendors.self_hosted import self_hosted
from processor.wire.json import JSONError, decode_fields, encode
from processor.wire.sse import DONE
from tests.support.golden import GoldenCase, golden_cases

CASES = [case for case in golden_cases() if case.operation is Operation.CHAT]

_VALUE = re.compile(rb'"[^"\\\n]*"|-?\d+|null|true|false|\[[^\[\]\n]*\]|\{[^{}\n]*\}')
_STRANGE = [
    *(b"null", b"true", b"-7", b"1.5", b"1e999", b"9" * 25, b'"s"', '"²"'.encode(), b'"\\ud800"', b'"\xff"'),
    *(b"[]", b"{}", b"[1]", b"[null]", b"[[]]", b'{"a":1}', b'{"message":"m"}', b'"[DONE]"', b"", b"\n\n", b"\r"),
]
_damage = st.lists(
    st.tuples(st.integers(min_value=0, max_value=1 << 16), st.sampled_from(_STRANGE)), min_size=1, max_size=3
)


def damaged(body: bytes, damage: list[tuple[int, bytes]]) -> bytes:
    """With values and names replaced by strange ones."""
    for place, strange in damage:
        if found := list(_VALUE.finditer(body)):
            value = found[place % len(found)]
            body = body[: value.start()] + strange + body[value.end() :]
    return body


def translator(case: GoldenCase) -> Translator:
    vendor = VENDORS[case.vendor] if case.vendor in VENDORS else self_hosted(case.vendor)
    return vendor.operations[case.operation]


@given(case=st.sampled_from(CASES), damage=_damage, include_usage=st.booleans())
@settings(max_examples=500, deadline=None)
def test_a_damaged_answer_is_the_vendors_failure_or_none(
    case: GoldenCase, damage: list[tuple[int, bytes]], include_usage: bool
) -> None:
    body = damaged(case.answer.body, damage)
    failure: UpstreamError | None = None
    try:
        if case.answer.streamed and case.streams:
            stream = translator(case).stream(include_usage=include_usage)
            stream.feed(body)
            stream.close()
        else:
            translator(case).response(body)
    except UpstreamError as error:
        failure = error
    assert failure is None or (400 <= failure.status < 600 and failure.message)


@given(case=st.sampled_from(CASES), damage=_damage)
@settings(max_examples=500, deadline=None)
def test_a_damaged_request_is_the_clients_mistake_or_the_vendors_to_judge(
    case: GoldenCase, damage: list[tuple[int, bytes]]
) -> None:
    try:
        fields = decode_fields(damaged(encode(case.request), damage))
    except JSONError:
        return
    try:
        request = translator(case).request(fields, model=case.model, stream=case.streams)
    except MalformedRequest:
        return
    assert decode_fields(request.body)


BAD_TEXT = b'{"model":"m","choices":[{"delta":{"content":"a"}}],%s}'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize(
    "bad", [b'"usage":{"\xff":1}', b'"usage":{"total_tokens":1e999}', b'"usage":{"prompt_tokens":1},"x":"\xff"']
)
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_field_that_is_not_read_may_hold_anything(bad: bytes, include_usage: bool) -> None:
    stream = OpenAIChat().stream(include_usage=include_usage)
    out = stream.feed(b"data: " + BAD_TEXT % bad + b"\n\n" + FINISH) + stream.close()
    assert b'"content":"a"' in out
    assert out.endswith(FINISH + DONE)


def test_a_chunk_whose_usage_cannot_be_taken_off_is_left_out() -> None:
    stream = OpenAIChat().stream(include_usage=False)
    assert stream.feed(b'data: {"usage":null,"choices":[],"x":"\xff"}\n\n') == b""


def test_a_whole_answer_whose_usage_cannot_be_read_has_no_count() -> None:
    body = b'{"choices":[{"message":{"content":"ab"}}],"usage":{"\xff":1}}'
    told = OpenAIChat().response(body)
    assert (told.body, told.usage, told.output_chars) == (body, None, 2)


def test_a_folded_stream_leaves_out_what_is_not_json() -> None:
    chat = OpenAIChat(edits=(StreamOnly(("q*",)),))
    text = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}\n\n'
    told = chat.response(b'data: {"choices":[],"x":"\xff"}\n\n' + text + FINISH + DONE)
    assert b'"content":"a"' in told.body
    assert told.usage == Usage(input_tokens=1)
