from __future__ import annotations

import io
import wave
from base64 import b64encode
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.dialects.base import Asked, Translator
from processor.dialects.dashscope_speech import DashScopeSpeech
from processor.dialects.minimax_speech import MiniMaxSpeech
from processor.dialects.openai_chat_rules import CodeInside
from processor.dialects.openai_relay import OpenAIRelayStream
from processor.dialects.speech import CONTENT_TYPES, OpenAISpeech, cast
from processor.errors import MalformedRequest, UpstreamProtocolError
from processor.wire.json import decode, decode_fields, encode
from tests.support.asked import asked

OPENAI = OpenAISpeech(path="/v1/audio/speech")
NARROW = OpenAISpeech(path="/speech", takes=frozenset({"speed"}), formats=("wav", "pcm"), voices={"alloy": "tom"})
MINIMAX = MiniMaxSpeech(check=CodeInside(("base_resp", "status_code"), "status_msg", {}))
ALI = DashScopeSpeech()


def asking(*, model: str = "tts", drop: bool = False, **fields: Any) -> Asked:
    body = {"model": "m", "input": "Hello.", "voice": "alloy", **fields}
    return asked(decode_fields(encode(body)), model=model, stream=True, drop_params=drop)


@pytest.mark.parametrize("translator", [NARROW, MINIMAX, ALI], ids=["openai", "minimax", "ali"])
@pytest.mark.parametrize(
    ("name", "value"), [("response_format", "aac"), ("stream_format", "sse"), ("banana", 1), ("voice", {"id": "v"})]
)
def test_what_a_vendor_cannot_do_is_refused_by_name(translator: Translator, name: str, value: Any) -> None:
    with pytest.raises(MalformedRequest) as refused:
        translator.request(asking(**{name: value}))
    assert refused.value.param == name


@pytest.mark.parametrize("translator", [NARROW, MINIMAX], ids=["openai", "minimax"])
def test_instructions_are_refused_where_nobody_would_follow_them(translator: Translator) -> None:
    with pytest.raises(MalformedRequest) as refused:
        translator.request(asking(instructions="Whisper."))
    assert refused.value.param == "instructions"


def test_a_speed_is_refused_where_there_is_one_speed() -> None:
    with pytest.raises(MalformedRequest) as refused:
        ALI.request(asking(model="qwen-tts", speed=2))
    assert refused.value.param == "speed"


@pytest.mark.parametrize("translator", [NARROW, MINIMAX, ALI], ids=["openai", "minimax", "ali"])
def test_what_a_vendor_cannot_do_is_left_out_where_that_was_configured(translator: Translator) -> None:
    odd: dict[str, Any] = {"response_format": "aac", "stream_format": "sse", "banana": 1}
    assert translator.request(asking(drop=True, **odd)) == translator.request(asking())


@pytest.mark.parametrize("translator", [NARROW, MINIMAX, ALI], ids=["openai", "minimax", "ali"])
def test_what_happens_anyway_may_be_asked_for(translator: Translator) -> None:
    usual: dict[str, Any] = {"speed": 1, "instructions": "", "stream_format": "audio", "user": "ann"}
    assert translator.request(asking(**usual)) == translator.request(asking())


def test_every_voice_of_openais_has_one_of_the_vendors() -> None:
    voices = cast(high=("anna", "bella"), low=("tom",))
    assert (voices["alloy"], voices["coral"], voices["marin"], voices["onyx"]) == ("anna", "bella", "anna", "tom")
    assert len(voices) == 13


def test_a_voice_that_openai_does_not_have_goes_on_as_it_is() -> None:
    assert decode(NARROW.request(asking(voice="alloy")).body)["voice"] == "tom"
    assert decode(NARROW.request(asking(voice="mine")).body)["voice"] == "mine"


def test_sound_goes_on_as_it_comes_and_says_when_it_has_begun() -> None:
    stream = OPENAI.stream(asking())
    assert stream.feed(b"") == b""
    assert not stream.content_seen
    assert stream.feed(b"\xff\xfb") == b"\xff\xfb"
    assert stream.content_seen
    assert (stream.close(), stream.content_type, stream.usage) == (b"", "", None)


@pytest.mark.parametrize("translator", [OPENAI, NARROW, MINIMAX, ALI], ids=["openai", "narrow", "minimax", "ali"])
def test_no_sound_at_all_breaks_the_protocol(translator: Translator) -> None:
    with pytest.raises(UpstreamProtocolError) as cut:
        translator.stream(asking()).close()
    assert cut.value.code == "upstream_stream_cut"


def test_events_are_for_who_asks_and_a_vendor_that_has_them() -> None:
    assert isinstance(OPENAI.stream(asking(stream_format="sse")), OpenAIRelayStream)
    assert not isinstance(OPENAI.stream(asking(stream_format="audio")), OpenAIRelayStream)
    assert not isinstance(NARROW.stream(asking(stream_format="sse", drop=True)), OpenAIRelayStream)


@pytest.mark.parametrize("translator", [OPENAI, MINIMAX, ALI], ids=["openai", "minimax", "ali"])
@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'"text"'])
def test_what_is_neither_sound_nor_an_error_breaks_the_protocol(translator: Translator, body: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        translator.response(body, asking())


@pytest.mark.parametrize(
    ("translator", "event"),
    [
        (MINIMAX, b'data: {"data":{"audio":"xyz","status":1}}\n\n'),
        (MINIMAX, b"data: nonsense\n\n"),
        (ALI, b'data:{"output":{"audio":{"data":"?"}}}\n\n'),
        (ALI, b'data:{"output":3}\n\n'),
        (ALI, b"data:{}\n\n"),
    ],
)
def test_an_event_that_holds_no_readable_sound_is_left_out(translator: Translator, event: bytes) -> None:
    stream = translator.stream(asking())
    assert stream.feed(event) == b""
    assert (stream.malformed, stream.content_seen) == (1, False)


@pytest.mark.parametrize(
    ("translator", "last"),
    [
        (MINIMAX, b'data: {"data":{"audio":"xyz","status":2}}\n\n'),
        (ALI, b'data:{"output":{"finish_reason":"stop","audio":{"data":"?"}}}\n\n'),
    ],
)
def test_a_last_event_that_holds_no_readable_sound_leaves_the_stream_cut(translator: Translator, last: bytes) -> None:
    stream = translator.stream(asking())
    assert stream.feed(last) == b""
    with pytest.raises(UpstreamProtocolError) as cut:
        stream.close()
    assert cut.value.code == "upstream_stream_cut"


@pytest.mark.parametrize(
    ("translator", "event"),
    [
        (MINIMAX, b'data: {"data":{"audio":"00","status":1}}\n\n'),
        (ALI, b'data:{"output":{"audio":{"data":"AAAA"},"finish_reason":"null"}}\n\n'),
    ],
)
def test_sound_without_a_last_event_is_cut(translator: Translator, event: bytes) -> None:
    stream = translator.stream(asking())
    assert stream.feed(event)
    with pytest.raises(UpstreamProtocolError) as cut:
        stream.close()
    assert cut.value.code == "upstream_stream_cut"


@pytest.mark.parametrize("name", ["mp3", "pcm", "flac", "wav"])
def test_the_client_is_told_the_format_it_asked_for(name: str) -> None:
    assert MINIMAX.stream(asking(response_format=name)).content_type == CONTENT_TYPES[name]


def test_a_wav_made_of_samples_can_be_opened() -> None:
    samples = bytes(range(200)) * 24
    stream = ALI.stream(asking(response_format="wav"))
    sound = stream.feed(ali_event(samples[:100])) + stream.feed(ali_event(samples[100:], "stop")) + stream.close()
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert file.readframes(len(samples)) == samples


def test_a_wav_that_has_its_header_keeps_it() -> None:
    stream = ALI.stream(asking(response_format="wav"))
    assert stream.feed(ali_event(b"RIFF1234WAVE", "stop")) == b"RIFF1234WAVE"


def ali_event(sound: bytes, finish: str = "null") -> bytes:
    data = {"output": {"audio": {"data": b64encode(sound).decode()}, "finish_reason": finish}}
    return b"event:result\n:HTTP_STATUS/200\ndata:" + encode(data) + b"\n\n"


def minimax_event(sound: bytes, status: int) -> bytes:
    data = {"data": {"audio": sound.hex(), "status": status}, "base_resp": {"status_code": 0}}
    return b"data: " + encode(data) + b"\n\n"


def cut(body: bytes, ends: list[int]) -> list[bytes]:
    places = [0, *sorted({end % (len(body) + 1) for end in ends}), len(body)]
    return [body[start:end] for start, end in pairwise(places)]


@given(
    pieces=st.lists(st.binary(min_size=1), min_size=1, max_size=5),
    ends=st.lists(st.integers(min_value=0, max_value=1 << 16), max_size=8),
    again=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_the_sound_arrives_once_however_its_bytes_are_cut(pieces: list[bytes], ends: list[int], *, again: bool) -> None:
    whole = b"".join(pieces)
    minimax = b"".join(minimax_event(piece, 1) for piece in pieces) + minimax_event(whole if again else b"", 2)
    ali = b"".join(map(ali_event, pieces)) + ali_event(b"", "stop")
    for translator, body in ((MINIMAX, minimax), (DashScopeSpeech(cosyvoice=("*",)), ali)):
        stream = translator.stream(asking())
        assert b"".join(map(stream.feed, cut(body, ends))) + stream.close() == whole
