"""Every golden case, played against the vendor's translator alone."""

from __future__ import annotations

import struct
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import anthropic.types as anthropic
import openai.types as openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from processor.dialects.base import ClientResponse, Fetch, Pending, StreamTranslator, UpstreamRequest
from processor.dialects.vendor_errors import refusal
from processor.domain import Operation
from processor.errors import UpstreamError
from processor.vendors import DIALECTS, VENDORS
from processor.wire.json import decode
from processor.wire.sse import SSEDecoder, SSEEvent
from tests.support.asked import asked_by
from tests.support.forms import read_form
from tests.support.golden import GoldenCall, GoldenCase, GoldenUpstream, golden_cases
from tests.support.translators import translator

CASES = golden_cases()
STREAMS = [case for case in CASES if case.streams and "json" not in case.answer.content_type and not case.refused]
WHOLE = [case for case in CASES if case not in STREAMS and not case.refused]

ANSWERS: dict[Operation, Any] = {
    Operation.CHAT: ChatCompletion,
    Operation.TEXT_COMPLETION: openai.Completion,
    Operation.RESPONSES: Response,
    Operation.MESSAGES: anthropic.Message,
    Operation.EMBEDDINGS: openai.CreateEmbeddingResponse,
    Operation.IMAGE_GENERATION: openai.ImagesResponse,
    Operation.IMAGE_EDIT: openai.ImagesResponse,
    Operation.MODERATIONS: openai.ModerationCreateResponse,
}
"""What an SDK reads a whole answer as."""
EVENTS: dict[Operation, Any] = {  # not text_completion: the SDK's type has no place for `finish_reason: null`
    Operation.CHAT: ChatCompletionChunk,
    Operation.RESPONSES: ResponseStreamEvent,
    Operation.MESSAGES: anthropic.RawMessageStreamEvent,
}


def cases(chosen: list[GoldenCase] | tuple[GoldenCase, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", chosen, ids=str)


def played(stream: StreamTranslator, pieces: Iterator[bytes]) -> bytes:
    return b"".join(map(stream.feed, pieces)) + stream.close()


def bytewise(body: bytes) -> Iterator[bytes]:
    return (body[at : at + 1] for at in range(len(body)))


def cut(body: bytes, at: list[int]) -> Iterator[bytes]:
    ends = sorted({place % (len(body) + 1) for place in at} | {len(body)})
    return (body[start:end] for start, end in zip([0, *ends], ends, strict=False))


def check_sent(request: UpstreamRequest, expected: GoldenUpstream) -> None:
    assert (request.method, request.path) == (expected.method, expected.path)
    assert dict(request.headers) == expected.headers
    if expected.form is not None:
        assert read_form(request.content_type, request.body) == expected.form
        return
    assert (decode(request.body) if request.body else None) == expected.body


def check_stream(case: GoldenCase, pieces: Iterator[bytes]) -> None:
    stream = translator(case).stream(asked_by(case))
    if case.error is not None:
        with pytest.raises(UpstreamError) as refused:
            played(stream, pieces)
        check_error(case, refused.value)
        return
    assert played(stream, pieces) == case.client
    assert stream.usage == case.usage
    assert stream.malformed == case.malformed
    assert stream.content_seen


def until_complete(stream: StreamTranslator, body: bytes) -> Iterator[bytes]:
    """The bytes up to the event that nothing follows."""
    for byte in bytewise(body):
        yield byte
        if stream.complete:
            return


def check_error(case: GoldenCase, error: UpstreamError) -> None:
    assert case.error is not None
    told = (error.status, error.type, error.code, error.message, error.param)
    expected = case.error
    assert told == (expected.status, expected.type, expected.code, expected.message, expected.param)


def finished(case: GoldenCase) -> ClientResponse:
    """The whole answer, the further calls made as the case has them."""
    answer = translator(case).response(case.answer.body, asked_by(case))
    left = list(case.then)
    while isinstance(answer, Pending):
        answer = answer.then(tuple(answered(call, left) for call in answer.calls))
    assert not left, "every call of the case is made"
    return answer


def answered(call: UpstreamRequest | Fetch, left: list[GoldenCall]) -> bytes:
    """The case's answer to a call: of those left, the first that fits."""
    for expected in left:
        if isinstance(call, Fetch):
            fits = call.url == expected.fetch
        else:
            upstream = expected.upstream
            fits = upstream is not None and (call.method, call.path) == (upstream.method, upstream.path)
            fits = fits and (not call.body or decode(call.body) == (upstream.body if upstream else None))
        if fits:
            left.remove(expected)
            if expected.answer.status >= 300:
                raise refusal(expected.answer.status, expected.answer.body, vendor="the vendor")
            return expected.answer.body
    raise AssertionError(f"the case knows no call like {call}")


def floats(embedding: str | list[float]) -> list[float]:
    if isinstance(embedding, list):
        return embedding
    data = b64decode(embedding)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def events_of(stream: bytes) -> list[SSEEvent]:
    """Those that an SDK parses; Anthropic's skips pings by their name."""
    return [event for event in SSEDecoder().feed(stream) if event.data and event.event != "ping"]


@cases([case for case in STREAMS if case.error is None])
def test_a_stream_that_is_complete_has_no_need_of_its_end(case: GoldenCase) -> None:
    stream = translator(case).stream(asked_by(case))
    assert played(stream, until_complete(stream, case.answer.body)) == case.client
    assert stream.usage == case.usage


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "bedrock"])
def test_a_vendor_s_last_event_completes_a_chat(dialect: str) -> None:
    chats = [case for case in STREAMS if (case.dialect, case.operation) == (dialect, Operation.CHAT) and not case.error]
    streams = [(translator(case).stream(asked_by(case)), case) for case in chats]
    for stream, case in streams:
        stream.feed(case.answer.body)
    assert any(stream.complete for stream, _ in streams)


def test_every_operation_of_every_vendor_has_a_golden_file() -> None:
    offered = {(name, operation) for name, vendor in DIALECTS.items() for operation in vendor.operations}
    inherited = {
        (name, operation)
        for vendor in VENDORS.values()
        for name, dialect in vendor.dialects.items()
        for operation in vendor.operations.keys() - dialect.keys()
    }
    shown = {(case.dialect, case.operation) for case in CASES}
    assert offered - inherited - shown == set()


@pytest.mark.parametrize("vendor", sorted({case.vendor for case in CASES if case.operation is Operation.CHAT}))
def test_a_chat_file_covers_the_common_ground(vendor: str) -> None:
    of_vendor = [case for case in CASES if case.vendor == vendor and case.operation is Operation.CHAT]
    answered = [case for case in of_vendor if case.client is not None]
    assert any(not case.streams for case in answered), "a whole answer"
    assert any(case.streams and not case.include_usage for case in answered), "a stream whose usage was not asked for"
    assert any(case.streams and case.include_usage for case in answered), "a stream whose usage was asked for"
    assert any(case.streams and b'"tool_calls":[' in (case.client or b"") for case in answered), "tools in a stream"
    assert any(case.error is not None for case in of_vendor), "an error"


@cases(CASES)
def test_the_vendor_is_sent_what_the_case_says(case: GoldenCase) -> None:
    check_sent(translator(case).request(asked_by(case)), case.upstream)


@cases(CASES)
def test_a_request_may_be_translated_again(case: GoldenCase) -> None:
    asked = asked_by(case)
    before = {name: bytes(value) for name, value in asked.fields.items()}
    first, second = (translator(case).request(asked) for _ in range(2))
    assert first == second
    assert {name: bytes(value) for name, value in asked.fields.items()} == before


@cases(WHOLE)
def test_a_whole_answer(case: GoldenCase) -> None:
    if case.error is not None:
        with pytest.raises(UpstreamError) as refused:
            finished(case)
        check_error(case, refused.value)
        return
    answer = finished(case)
    assert answer.body == case.client
    assert answer.usage == case.usage


@cases([case for case in CASES if case.refused])
def test_a_refusal(case: GoldenCase) -> None:
    check_error(case, refusal(case.answer.status, case.answer.body, vendor=case.provider))


@cases(STREAMS)
def test_a_stream_in_one_piece(case: GoldenCase) -> None:
    check_stream(case, iter([case.answer.body]))


@cases(STREAMS)
def test_a_stream_byte_by_byte(case: GoldenCase) -> None:
    check_stream(case, bytewise(case.answer.body))


@given(case=st.sampled_from(STREAMS), at=st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=12))
@settings(max_examples=400, deadline=None)
def test_a_stream_cut_at_random(case: GoldenCase, at: list[int]) -> None:
    check_stream(case, cut(case.answer.body, at))


@cases([case for case in WHOLE if case.client is not None and case.operation in ANSWERS])
def test_the_sdks_types_accept_a_whole_answer(case: GoldenCase) -> None:
    answer = decode(case.client or b"")
    if case.operation is Operation.EMBEDDINGS:  # in base64, which the SDK undoes before anybody looks
        for item in answer["data"]:
            item["embedding"] = floats(item["embedding"])
    TypeAdapter(ANSWERS[case.operation]).validate_python(answer)


@cases([case for case in STREAMS if case.client is not None and case.operation in EVENTS])
def test_the_sdks_types_accept_every_event_of_a_stream(case: GoldenCase) -> None:
    events = events_of(case.client or b"")
    if case.operation is Operation.CHAT:
        assert events.pop().data == b"[DONE]"
    adapter = TypeAdapter(EVENTS[case.operation])
    for event in events:
        adapter.validate_python(decode(event.data))
