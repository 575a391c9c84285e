"""MiniMax's speech, T2A v2: sound in hexadecimal, inside events or one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from processor.dialects.base import Asked, ClientResponse, UpstreamRequest
from processor.dialects.openai_chat_rules import CodeInside
from processor.dialects.speech import CONTENT_TYPES, PCM_RATE, SoundStream, chosen_format, no_sound, speech_parameters
from processor.dialects.vendor_events import SSEStream, Unreadable
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, JSONError, decode, encode
from processor.wire.sse import SSEDecoder, SSEEvent

_FORMATS = ("mp3", "pcm", "flac", "wav")
_WHOLE_ONLY = frozenset({"wav"})
_LAST = 2
"""The status of the last event, which holds the whole sound again unless that is excluded."""

_ITS_OWN = ("language_boost", "pronunciation_dict", "timbre_weights", "voice_modify")
"""Its own parameters that go on as they are; `voice_setting` and `audio_setting` are merged."""


class _Data(Struct, gc=False):
    audio: str | None = None
    status: int | None = None


class _BaseResp(Struct, gc=False):
    status_code: int = 0


class _Answer(Struct, gc=False):
    data: _Data | None = None
    base_resp: _BaseResp | None = None


_decoder = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniMaxSpeech:
    """The Translator."""

    check: CodeInside
    """How an error inside a 200 is told."""
    path: str = "/v1/t2a_v2"
    voices: Mapping[str, str] = field(default_factory=dict)
    """MiniMax's voices for OpenAI's."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """`{model, text, voice_setting, audio_setting, …}`."""
        taken = speech_parameters(asked)
        sound = chosen_format(taken, _FORMATS, asked)
        streams = sound not in _WHOLE_ONLY
        voice = taken.take("voice", str)
        chosen: JSON = {"voice_id": self.voices.get(voice, voice), "speed": taken.take("speed", int | float)}
        audio: JSON = {"format": sound}
        if sound == "pcm":
            audio |= {"sample_rate": PCM_RATE, "channel": 1}
        body: JSON = {
            "model": asked.model,
            "text": taken.take("input", str),
            "stream": streams,
            "output_format": "hex",
            "voice_setting": _known(chosen) | taken.take("voice_setting", JSON, {}),
            "audio_setting": taken.take("audio_setting", JSON, {}) | audio,
        }
        if streams:
            body["stream_options"] = {"exclude_aggregated_audio": True}
        body |= _known({name: taken.take(name, Any) for name in _ITS_OWN})
        taken.settle()
        return UpstreamRequest(path=self.path, body=encode(body))

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """The sound of one object."""
        sound = sound_in(body, self.check)
        if sound is None or not sound.audio:
            raise no_sound(body)
        return ClientResponse(
            body=_from_hex(sound.audio), usage=None, model="", content_type=CONTENT_TYPES[_format(asked)]
        )

    def stream(self, asked: Asked) -> MiniMaxSpeechStream:
        """A stream's translator."""
        return MiniMaxSpeechStream(self.check, CONTENT_TYPES[_format(asked)])


class MiniMaxSpeechStream(SSEStream, SoundStream):
    """The StreamTranslator: each event's sound, the last one's only if there was none before."""

    def __init__(self, check: CodeInside, content_type: str) -> None:
        super().__init__()
        self.content_type = content_type
        self._check = check
        self._decoder = SSEDecoder()
        self._ended = False

    def close(self) -> bytes:
        """The vendor's body has ended."""
        out = self._rest() or b""
        if not self._ended:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out + super().close()

    def _event(self, event: SSEEvent) -> bytes:
        if not event.data or event.data.startswith(b"[DONE]"):
            return b""
        found = sound_in(event.data, self._check)
        if found is None:
            return b""
        sound = _from_hex(found.audio or "")
        if found.status == _LAST:
            self._ended = True
            if self.content_seen:
                return b""
        return self.sound(sound)


def sound_in(data: bytes, check: CodeInside) -> _Data | None:
    """The sound that an answer or an event holds.

    Raises:
        UpstreamRefused: it is an error.
        Unreadable: it is not MiniMax's.
    """
    try:
        answer = _decoder.decode(data)
        if (answer.base_resp and answer.base_resp.status_code) or answer.data is None:
            error = check.error_in(decode(data))
            if error:
                raise error
    except JSONError as error:
        raise Unreadable(f"The vendor's answer is not MiniMax's: {error}.") from None
    return answer.data


def _format(asked: Asked) -> str:
    return chosen_format(speech_parameters(asked), _FORMATS, asked)


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Unreadable("The vendor's sound is not hexadecimal.") from None


def _known(values: JSON) -> JSON:
    return {name: value for name, value in values.items() if value is not None}
