from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import Asked, Translator, Upload
from processor.dialects.dashscope_transcription import DashScopeTranscription
from processor.dialects.transcription import OpenAITranscription
from processor.errors import MalformedRequest, UpstreamProtocolError, UpstreamRefused
from processor.wire.json import decode, decode_fields, encode
from processor.wire.multipart import parse
from processor.wire.sse import SSEDecoder
from tests.support.asked import asked

OPENAI = OpenAITranscription(path="/v1/audio/transcriptions")
NARROW = OpenAITranscription(path="/transcriptions", takes=frozenset({"prompt"}), streams=False)
ALI = DashScopeTranscription()

SOUND = Upload(name="file", filename="talk.wav", content_type="audio/wav", body=bytes(range(256)))


def asking(*uploads: Upload, stream: bool = False, drop: bool = False, **fields: Any) -> Asked:
    body = decode_fields(encode({"model": "m", **fields, **({"stream": "true"} if stream else {})}))
    return asked(body, model="asr", stream=stream, drop_params=drop, uploads=uploads or (SOUND,))


def form(translator: Translator, request: Asked) -> tuple[list[tuple[str, str]], list[Any]]:
    sent = translator.request(request)
    return parse(sent.content_type, sent.body)


def test_a_form_arrives_with_its_file_byte_by_byte() -> None:
    texts, files = form(OPENAI, asking(prompt="量子", timestamp_granularities=["word", "segment"]))
    granularities = [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")]
    assert texts == [("model", "asr"), ("prompt", "量子"), *granularities]
    assert [(file.name, file.filename, file.content_type, file.body) for file in files] == [
        ("file", "talk.wav", "audio/wav", SOUND.body)
    ]


def test_a_value_that_is_no_text_is_written_as_one() -> None:
    texts, _ = form(OPENAI, asking(temperature=0.2, chunking_strategy={"type": "server_vad"}))
    assert texts == [("model", "asr"), ("temperature", "0.2"), ("chunking_strategy", '{"type":"server_vad"}')]


@pytest.mark.parametrize("translator", [OPENAI, NARROW, ALI], ids=["openai", "narrow", "ali"])
def test_a_form_without_a_sound_is_refused(translator: Translator) -> None:
    other = Upload(name="image", filename="a.png", content_type="image/png", body=b"")
    with pytest.raises(MalformedRequest) as refused:
        translator.request(asking(other))
    assert (refused.value.param, refused.value.code) == ("file", "missing_parameter")


@pytest.mark.parametrize("translator", [NARROW, ALI], ids=["narrow", "ali"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("response_format", "srt"), ("response_format", "verbose_json"), ("temperature", "0.5"), ("banana", "1")],
)
def test_what_a_vendor_cannot_do_is_refused_by_name(translator: Translator, name: str, value: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        translator.request(asking(**{name: value}))
    assert refused.value.param == name
    assert translator.request(asking(drop=True, **{name: value})) == translator.request(asking())


def test_events_are_refused_where_there_are_none() -> None:
    with pytest.raises(MalformedRequest) as refused:
        NARROW.request(asking(stream=True))
    assert refused.value.param == "stream"
    assert NARROW.request(asking(stream=True, drop=True)) == NARROW.request(asking())


@pytest.mark.parametrize("translator", [NARROW, ALI], ids=["narrow", "ali"])
def test_what_happens_anyway_may_be_asked_for(translator: Translator) -> None:
    usual: dict[str, Any] = {"temperature": "0", "response_format": "json"}
    assert translator.request(asking(**usual, stream=False)) == translator.request(asking())


@pytest.mark.parametrize(
    ("wanted", "content_type"),
    [("text", "text/plain"), ("srt", "text/plain"), ("vtt", "text/vtt")],
)
def test_a_text_stays_as_it_is_and_says_what_it_is(wanted: str, content_type: str) -> None:
    answer = OPENAI.response("WEBVTT 世界\n".encode(), asking(response_format=wanted))
    assert answer.body == "WEBVTT 世界\n".encode()
    assert answer.content_type.split(";")[0] == content_type


def test_json_stays_as_it_is_and_tells_what_it_cost() -> None:
    body = b'{ "text": "Hi", "model": "glm-asr", "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4} }'
    answer = OPENAI.response(body, asking(response_format="diarized_json"))
    assert (answer.body, answer.content_type, answer.model) == (body, "application/json", "glm-asr")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 1)


@pytest.mark.parametrize("translator", [OPENAI, NARROW, ALI], ids=["openai", "narrow", "ali"])
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}"])
def test_an_answer_that_holds_no_text_breaks_the_protocol(translator: Translator, body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        translator.response(body, asking())


def test_an_error_in_place_of_a_text_is_an_error() -> None:
    with pytest.raises(UpstreamRefused) as refused:
        OPENAI.response(b'{"error":{"message":"Slower.","code":"rate_limit_exceeded"}}', asking(response_format="srt"))
    assert (refused.value.status, refused.value.message) == (429, "Slower.")


@pytest.mark.parametrize(
    ("filename", "content_type", "expected"),
    [
        ("a.mp3", "audio/mpeg", "data:audio/mpeg;base64,"),
        ("a.FLAC", "", "data:audio/flac;base64,"),
        ("a.ogg", "application/octet-stream", "data:audio/ogg;base64,"),
        ("", "", "data:audio/wav;base64,"),
        ("sound", "", "data:audio/wav;base64,"),
    ],
)
def test_a_sounds_type_is_what_the_client_says_or_its_name_does(
    filename: str, content_type: str, expected: str
) -> None:
    sound = Upload(name="file", filename=filename, content_type=content_type, body=b"x")
    messages = decode(ALI.request(asking(sound)).body)["input"]["messages"]
    assert messages[0]["content"][0]["audio"] == expected + "eA=="


def ali_event(text: str, finish: str = "null") -> bytes:
    message = {"role": "assistant", "content": [{"text": text}]}
    data = {"output": {"choices": [{"message": message, "finish_reason": finish}]}, "usage": {"seconds": 2}}
    return b"event:result\n:HTTP_STATUS/200\ndata:" + encode(data) + b"\n\n"


def test_a_stream_without_its_last_event_is_cut() -> None:
    stream = ALI.stream(asking(stream=True))
    assert b"transcript.text.delta" in stream.feed(ali_event("Hi"))
    with pytest.raises(UpstreamProtocolError) as cut:
        stream.close()
    assert cut.value.code == "upstream_stream_cut"
    assert stream.output_chars == 2


@given(pieces=st.lists(st.text(), max_size=5), ends=st.lists(st.integers(min_value=0, max_value=1 << 16), max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_text_arrives_however_its_bytes_are_cut(pieces: list[str], ends: list[int]) -> None:
    body = b"".join(map(ali_event, pieces)) + ali_event("", "stop")
    places = [0, *sorted({end % (len(body) + 1) for end in ends}), len(body)]
    stream = ALI.stream(asking(stream=True))
    out = b"".join(stream.feed(body[start:end]) for start, end in pairwise(places))
    events = [decode(event.data) for event in SSEDecoder().feed(out + stream.close())]
    last = events.pop()
    assert [event["delta"] for event in events] == [piece for piece in pieces if piece]
    assert last == {
        "type": "transcript.text.done",
        "text": "".join(pieces),
        "usage": {"type": "duration", "seconds": 2},
    }
