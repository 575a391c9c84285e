"""Every golden case of chat, played against the vendor's translator alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from processor.dialects.base import StreamTranslator, Translator
from processor.dialects.vendor_errors import refusal
from processor.domain import Operation
from processor.errors import UpstreamRefused
from processor.vendors import VENDORS
from processor.vendors.self_hosted import self_hosted
from processor.wire.json import decode, decode_fields, encode
from processor.wire.sse import SSEDecoder
from tests.support.golden import GoldenCase, golden_cases, golden_vendors

CASES = [case for case in golden_cases() if case.operation is Operation.CHAT]
STREAMS = [case for case in CASES if case.answer.streamed and case.streams]
ACCEPTED = [case for case in CASES if case.answer.status == 200]


def cases(chosen: list[GoldenCase]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", chosen, ids=str)


def translator(case: GoldenCase) -> Translator:
    vendor = VENDORS[case.vendor] if case.vendor in VENDORS else self_hosted(case.vendor)
    return vendor.operations[case.operation]


def stream_of(case: GoldenCase) -> StreamTranslator:
    return translator(case).stream(include_usage=case.include_usage)


def played(stream: StreamTranslator, pieces: Iterator[bytes]) -> bytes:
    return b"".join(map(stream.feed, pieces)) + stream.close()


def bytewise(body: bytes) -> Iterator[bytes]:
    return (body[at : at + 1] for at in range(len(body)))


def cut(body: bytes, at: list[int]) -> Iterator[bytes]:
    ends = sorted({place % (len(body) + 1) for place in at} | {len(body)})
    return (body[start:end] for start, end in zip([0, *ends], ends, strict=False))


def check_stream(case: GoldenCase, pieces: Iterator[bytes]) -> None:
    stream = stream_of(case)
    if case.error is not None:
        with pytest.raises(UpstreamRefused) as refused:
            played(stream, pieces)
        check_error(case, refused.value)
        return
    assert played(stream, pieces) == case.client
    assert stream.usage == case.usage
    assert stream.content_seen


def check_error(case: GoldenCase, error: UpstreamRefused) -> None:
    assert case.error is not None
    told = (error.status, error.type, error.code, error.message, error.param)
    expected = case.error
    assert told == (expected.status, expected.type, expected.code, expected.message, expected.param)


def test_every_vendor_with_an_operation_has_a_golden_file() -> None:
    assert {name for name, vendor in VENDORS.items() if vendor.operations} | {"self_hosted"} == set(golden_vendors())


@pytest.mark.parametrize("vendor", golden_vendors())
def test_a_golden_file_covers_the_common_ground(vendor: str) -> None:
    of_vendor = [case for case in CASES if case.vendor == vendor]
    answered = [case for case in of_vendor if case.client is not None]
    assert any(not case.streams for case in answered), "a whole answer"
    assert any(case.streams and not case.include_usage for case in answered), "a stream whose usage was not asked for"
    assert any(case.streams and case.include_usage for case in answered), "a stream whose usage was asked for"
    assert any(case.streams and b'"tool_calls":[' in (case.client or b"") for case in answered), "tools in a stream"
    assert any(case.error is not None for case in of_vendor), "an error"


@cases(CASES)
def test_the_vendor_is_sent_what_the_case_says(case: GoldenCase) -> None:
    request = translator(case).request(decode_fields(encode(case.request)), model=case.model, stream=case.streams)
    assert request.path == case.upstream.path
    assert decode(request.body) == case.upstream.body
    assert dict(request.headers) == case.upstream.headers


@cases(CASES)
def test_a_request_may_be_translated_again(case: GoldenCase) -> None:
    fields = decode_fields(encode(case.request))
    before = {name: bytes(value) for name, value in fields.items()}
    first, second = (translator(case).request(fields, model=case.model, stream=case.streams) for _ in range(2))
    assert first == second
    assert {name: bytes(value) for name, value in fields.items()} == before


@cases([case for case in ACCEPTED if not case.streams])
def test_a_whole_answer(case: GoldenCase) -> None:
    if case.error is not None:
        with pytest.raises(UpstreamRefused) as refused:
            translator(case).response(case.answer.body)
        check_error(case, refused.value)
        return
    answer = translator(case).response(case.answer.body)
    assert answer.body == case.client
    assert answer.usage == case.usage
    assert answer.model == decode(answer.body)["model"]


@cases([case for case in CASES if case.answer.status != 200])
def test_a_refusal(case: GoldenCase) -> None:
    check_error(case, refusal(case.answer.status, case.answer.body, vendor=case.vendor))


@cases(STREAMS)
def test_a_stream_in_one_piece(case: GoldenCase) -> None:
    check_stream(case, iter([case.answer.body]))


@cases(STREAMS)
def test_a_stream_byte_by_byte(case: GoldenCase) -> None:
    check_stream(case, bytewise(case.answer.body))


@given(case=st.sampled_from(STREAMS), at=st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=12))
@settings(max_examples=300, deadline=None)
def test_a_stream_cut_at_random(case: GoldenCase, at: list[int]) -> None:
    check_stream(case, cut(case.answer.body, at))


@cases([case for case in CASES if case.client is not None])
def test_openais_own_types_accept_what_the_client_gets(case: GoldenCase) -> None:
    assert case.client is not None
    if not case.streams:
        ChatCompletion.model_validate(decode(case.client))
        return
    events = [event.data for event in SSEDecoder().feed(case.client) if event.data]
    assert events.pop() == b"[DONE]"
    for event in events:
        ChatCompletionChunk.model_validate(decode(event))
