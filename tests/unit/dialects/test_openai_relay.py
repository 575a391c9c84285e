from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings

from processor.dialects.openai_relay import OpenAIRelay, OpenAIRelayStream
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked
from tests.support.pieces import bytewise, cut, places

JSON = dict[str, Any]

RELAY = OpenAIRelay(path="/v1/responses")
COUNTS = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 14,
}
USAGE = Usage(input_tokens=9, output_tokens=5, cached_input_tokens=4, reasoning_tokens=2)


def event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encode({"type": kind, **fields}) + b"\n\n"


CREATED = event("response.created", response={"id": "r", "model": "gpt-5", "status": "in_progress", "usage": None})
OPENED = event("response.output_item.added", output_index=0, item={"type": "message", "content": []})
TEXT = event("response.output_text.delta", delta="Zürich", logprobs=[])
DONE_TEXT = event("response.output_text.done", text="Zürich")
COMPLETED = event("response.completed", response={"id": "r", "model": "gpt-5", "status": "completed", "usage": COUNTS})
STORY = CREATED + b": keep-alive\n\n" + OPENED + TEXT + DONE_TEXT + COMPLETED


def failed(code: str = "server_error", message: str = "Sorry.") -> bytes:
    return event("response.failed", response={"status": "failed", "error": {"code": code, "message": message}})


def played(pieces: Iterable[bytes]) -> tuple[bytes, OpenAIRelayStream]:
    stream = RELAY.stream(asked())
    return b"".join(map(stream.feed, pieces)) + stream.close(), stream


def test_a_request_changes_only_its_model() -> None:
    fields = decode_fields(b'{"model": "m","input": [ {"role":"user"} ],"store":true, "background":false}')
    request = RELAY.request(asked(fields, model="gpt-5"))
    assert request.path == "/v1/responses"
    assert request.body == b'{"model":"gpt-5","input":[ {"role":"user"} ],"store":true,"background":false}'


def test_an_answer_that_would_have_to_be_fetched_later_is_refused() -> None:
    with pytest.raises(MalformedRequest) as error:
        RELAY.request(asked(decode_fields(b'{"input":"a","background":true}')))
    assert error.value.param == "background"


def test_a_whole_answer_goes_on_as_it_came_and_is_counted() -> None:
    body = encode({"object": "response", "model": "gpt-5", "status": "completed", "error": None, "usage": COUNTS})
    answer = RELAY.response(b"\n\n" + body + b"\n", asked())
    assert (answer.body, answer.usage, answer.model, answer.output_chars) == (body, USAGE, "gpt-5", 0)


def test_an_answer_without_a_count_is_measured() -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "Zürich"}]}]
    answer = RELAY.response(encode({"object": "response", "output": output, "usage": None}), asked())
    assert (answer.usage, answer.model, answer.output_chars) == (None, "", 7)


def test_a_moderation_has_neither_count_nor_text() -> None:
    body = b'{"id":"modr-1","model":"omni-moderation-latest","results":[{"flagged":false}]}'
    answer = OpenAIRelay(path="/v1/moderations").response(body, asked())
    assert (answer.body, answer.usage, answer.model) == (body, None, "omni-moderation-latest")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (
            {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Slow."}},
            429,
            "rate_limit_exceeded",
        ),
        ({"status": "failed", "error": {"code": "invalid_prompt", "message": "Slow."}}, 400, "invalid_prompt"),
        ({"error": {"message": "Slow.", "type": "server_error", "code": None}}, 500, "upstream_error"),
        ({"code": "InvalidParameter", "message": "Slow.", "request_id": "r"}, 400, "InvalidParameter"),
    ],
)
def test_an_error_inside_a_success_is_told_by_its_status(body: JSON, status: int, code: str) -> None:
    with pytest.raises(UpstreamRefused) as error:
        RELAY.response(encode(body), asked())
    assert (error.value.status, error.value.code, error.value.message) == (status, code, "Slow.")


def test_the_vendors_own_codes_have_the_statuses_it_gives_them() -> None:
    relay = OpenAIRelay(path="/", statuses={"77": 402})
    with pytest.raises(UpstreamRefused) as error:
        relay.response(b'{"error":{"code":77,"message":"Pay."}}', asked())
    assert error.value.status == 402


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"model":', b'"text"'])
def test_an_answer_that_is_no_object_is_the_vendors_mistake(body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        RELAY.response(body, asked())


def test_a_stream_goes_on_as_it_came_and_is_counted() -> None:
    out, stream = played([STORY])
    assert out == STORY
    assert (stream.usage, stream.model, stream.content_seen, stream.output_chars) == (USAGE, "gpt-5", True, 7)


@given(places)
@settings(max_examples=100, deadline=None)
def test_a_stream_may_be_cut_anywhere(at: list[int]) -> None:
    out, stream = played(cut(STORY, at))
    assert (out, stream.usage) == (STORY, USAGE)


def test_a_stream_may_come_byte_by_byte() -> None:
    assert played(bytewise(STORY))[0] == STORY


def test_openings_are_not_yet_content() -> None:
    stream = RELAY.stream(asked())
    stream.feed(CREATED + OPENED + event("response.content_part.added", part={"type": "output_text", "text": ""}))
    assert not stream.content_seen
    stream.feed(TEXT)
    assert stream.content_seen


@pytest.mark.parametrize(
    ("bytes_", "status"),
    [
        (failed("rate_limit_exceeded"), 429),
        (failed(), 500),
        (event("error", code="rate_limit_exceeded", message="Sorry.", param=None), 429),
        (event("error", error={"type": "server_error", "message": "Sorry."}), 500),
        (b'event: error\ndata: {"message":"Sorry."}\n\n', 502),
        (b'data: {"error":{"code":"401","message":"Sorry."}}\n\n', 401),
    ],
)
def test_a_failure_before_any_content_is_an_error(bytes_: bytes, status: int) -> None:
    stream = RELAY.stream(asked())
    stream.feed(CREATED)
    with pytest.raises(UpstreamRefused) as error:
        stream.feed(bytes_)
    assert (error.value.status, error.value.message) == (status, "Sorry.")


@pytest.mark.parametrize("last", [failed(), event("error", code="server_error", message="Sorry.")])
def test_a_failure_after_content_is_the_streams_last_event(last: bytes) -> None:
    assert played([CREATED + TEXT + last])[0] == CREATED + TEXT + last


def test_a_response_that_is_incomplete_is_no_failure() -> None:
    last = event("response.incomplete", response={"status": "incomplete", "error": None, "usage": COUNTS})
    assert played([CREATED + last])[1].usage == USAGE


def test_a_stream_that_ends_early_was_cut() -> None:
    stream = RELAY.stream(asked())
    stream.feed(CREATED + TEXT)
    with pytest.raises(UpstreamProtocolError) as error:
        stream.close()
    assert error.value.code == "upstream_stream_cut"


def test_a_last_event_without_its_empty_line_gets_one() -> None:
    assert played([STORY.removesuffix(b"\n\n")])[0] == STORY


def test_arks_end_mark_and_what_is_no_json_are_left_out() -> None:
    assert (
        played([CREATED + b"data: {\n\n" + b"data: [1]\n\n" + COMPLETED + b"data: [DONE]\n\n"])[0]
        == CREATED + COMPLETED
    )


def test_sound_is_not_counted_as_text() -> None:
    stream = OpenAIRelay(path="/v1/audio/speech").stream(asked())
    stream.feed(event("speech.audio.delta", delta="AAAA") + event("response.audio.delta", delta="AAAA"))
    stream.feed(event("speech.audio.done", usage={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}))
    assert stream.close() == b""
    assert (stream.output_chars, stream.usage) == (0, Usage(input_tokens=3, output_tokens=4))


def test_a_background_of_null_is_none() -> None:
    assert decode(RELAY.request(asked(decode_fields(b'{"background":null}'))).body) == {
        "background": None,
        "model": "m",
    }
