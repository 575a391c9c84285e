"""DashScope's speech, of Qwen's and CosyVoice's models: sound in base64 inside events, or behind a URL."""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from processor.dialects.base import Asked, ClientResponse, Fetch, Pending, UpstreamRequest
from processor.dialects.dashscope_answer import error_of, refused_event
from processor.dialects.dashscope_chat import MULTIMODAL_PATH, STREAMED
from processor.dialects.openai_chat_edits import matches
from processor.dialects.speech import (
    CONTENT_TYPES,
    PCM_RATE,
    SoundStream,
    chosen_format,
    no_sound,
    speech_parameters,
)
from processor.dialects.usage_shapes import dashscope
from processor.dialects.vendor_events import SSEStream, Unreadable
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, JSONError, decode, encode
from processor.wire.sse import SSEDecoder, SSEEvent

_RIFF = b"RIFF"
_COSYVOICE_PATH = "/api/v1/services/audio/tts/SpeechSynthesizer"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """What the models of one path have."""

    path: str
    formats: tuple[str, ...]
    names: Mapping[str, str]
    """Its parameters, by what clients call them."""
    says_format: bool
    """Whether the format is asked for; if not, events hold PCM, and a file behind a URL is a WAV."""


_QWEN = _Family(
    path=MULTIMODAL_PATH,
    formats=("wav", "pcm"),
    names={
        "instructions": "instructions",
        "optimize_instructions": "optimize_instructions",
        "language_type": "language_type",
    },
    says_format=False,
)
_COSYVOICE = _Family(
    path=_COSYVOICE_PATH,
    formats=("mp3", "wav", "pcm", "opus"),
    names={
        "speed": "rate",
        "instructions": "instruction",
        "sample_rate": "sample_rate",
        "volume": "volume",
        "pitch": "pitch",
        "seed": "seed",
    },
    says_format=True,
)


class _Audio(Struct, gc=False):
    data: str | None = None
    url: str | None = None


class _Output(Struct, gc=False):
    audio: _Audio | None = None
    finish_reason: str | None = None


class _Answer(Struct, gc=False):
    output: _Output | None = None
    usage: JSON | None = None

    def counted(self) -> Usage | None:
        return dashscope({"usage": self.usage}) if self.usage else None


_decoder = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class DashScopeSpeech:
    """The Translator."""

    cosyvoice: tuple[str, ...] = ("cosyvoice*",)
    """Models of CosyVoice's path, as shell-style patterns; the others are Qwen's."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """Qwen's voices for OpenAI's. CosyVoice has others with every model."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """`{model, input: {text, voice, …}}`, answered in events."""
        family = self._family(asked.model)
        taken = speech_parameters(asked)
        voice = taken.take("voice", str)
        sound = chosen_format(taken, family.formats, asked)
        values: JSON = {"text": taken.take("input", str), "voice": self._voices(family).get(voice, voice)}
        if family.says_format:
            values["format"] = sound
            if sound == "pcm":
                values["sample_rate"] = PCM_RATE
        values |= {vendors: taken.take(name, Any) for name, vendors in family.names.items() if name in asked.fields}
        taken.settle()
        body = {
            "model": asked.model,
            "input": {name: value for name, value in values.items() if value is not None},
        }
        return UpstreamRequest(path=family.path, body=encode(body), headers=STREAMED)

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The sound of an answer that came whole, for which its file may have to be fetched."""
        answer = _answered(body)
        audio = answer.output.audio if answer.output else None
        if audio is None or not (audio.data or audio.url):
            raise no_sound(body)
        then = partial(self._whole, asked, answer.counted())
        if audio.data:
            return then((_from_base64(audio.data),))
        return Pending(calls=(Fetch(audio.url or ""),), then=then)

    def stream(self, asked: Asked) -> DashScopeSpeechStream:
        """A stream's translator."""
        family = self._family(asked.model)
        return DashScopeSpeechStream(_format(family, asked), raw_pieces=not family.says_format)

    def _family(self, model: str) -> _Family:
        return _COSYVOICE if matches(model, self.cosyvoice) else _QWEN

    def _voices(self, family: _Family) -> Mapping[str, str]:
        return self.voices if family is _QWEN else {}

    def _whole(self, asked: Asked, usage: Usage | None, bodies: tuple[bytes, ...]) -> ClientResponse:
        family = self._family(asked.model)
        sound = _format(family, asked)
        body = bodies[0]
        if not family.says_format:
            body = _samples(body) if sound == "pcm" else _wav(body)
        return ClientResponse(body=body, usage=usage, model="", content_type=CONTENT_TYPES[sound])


class DashScopeSpeechStream(SSEStream, SoundStream):
    """The StreamTranslator: the sound of each event; a WAV gets its header where the pieces are bare samples."""

    def __init__(self, sound: str, *, raw_pieces: bool) -> None:
        super().__init__()
        self.content_type = CONTENT_TYPES[sound]
        self._first = {"wav": _wav, "pcm": _samples}.get(sound) if raw_pieces else None
        """What the first piece needs."""
        self._decoder = SSEDecoder()
        self._ended = False

    def close(self) -> bytes:
        """The vendor's body has ended."""
        out = self._rest() or b""
        if not self._ended:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out + super().close()

    def _event(self, event: SSEEvent) -> bytes:
        if not event.data:
            return b""
        if event.event == "error":
            raise refused_event(event)
        answer = _answered(event.data)
        output = answer.output or _Output()
        piece = _from_base64(output.audio.data) if output.audio and output.audio.data else b""
        self.usage = answer.counted() or self.usage
        self._ended = self._ended or output.finish_reason == "stop"
        if piece and not self.content_seen and self._first:
            piece = self._first(piece)
        return self.sound(piece)


def _format(family: _Family, asked: Asked) -> str:
    return chosen_format(speech_parameters(asked), family.formats, asked)


def _answered(data: bytes) -> _Answer:
    try:
        answer = _decoder.decode(data)
    except JSONError as error:
        raise Unreadable(f"The vendor's answer is not DashScope's: {error}.") from None
    if answer.output is None:
        raise error_of(decode(data))
    return answer


def _from_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise Unreadable("The vendor's sound is not base64.") from None


def _samples(sound: bytes) -> bytes:
    """Without the header that a WAV has."""
    return sound[sound.find(b"data") + 8 :] if sound.startswith(_RIFF) else sound


def _wav(sound: bytes) -> bytes:
    """Behind a WAV's header, unless there is one; its lengths are the largest, as of a stream none is known."""
    if sound.startswith(_RIFF):
        return sound
    unknown, channels, width = 0xFFFFFFFF, 1, 2
    layout = (16, 1, channels, PCM_RATE, PCM_RATE * channels * width, channels * width, width * 8)
    return struct.pack("<4sI4s4sIHHIIHH4sI", _RIFF, unknown, b"WAVE", b"fmt ", *layout, b"data", unknown) + sound
