"""OpenAI's `/audio/speech` at vendors that have it, and what every vendor's speech has in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

from processor.dialects.base import Asked, ClientResponse, StreamTranslator, UpstreamRequest
from processor.dialects.chat_request import Parameters
from processor.dialects.openai_relay import OpenAIRelay
from processor.dialects.vendor_errors import error_inside
from processor.domain import Usage
from processor.errors import MalformedRequest, UpstreamError, UpstreamProtocolError
from processor.wire.json import JSONError, decode, encode, raw

CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
"""By `response_format`, as OpenAI says them."""

PCM_RATE = 24_000
"""Samples a second of OpenAI's `pcm`, which are 16 bits wide and of one channel."""

_HIGH = ("alloy", "coral", "marin", "nova", "sage", "shimmer")
_LOW = ("ash", "ballad", "cedar", "echo", "fable", "onyx", "verse")

_HARMLESS: Mapping[str, object] = {"speed": 1, "instructions": "", "stream_format": "audio"}
"""Values that ask for what happens anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAISpeech:
    """The Translator. What it says of a vendor holds back what the vendor cannot do; without, everything goes on."""

    path: str
    takes: frozenset[str] | None = None
    """The parameters the vendor has beside model, input, voice and format; None for all of OpenAI's."""
    formats: tuple[str, ...] = ()
    """What it can answer in, the first where the client does not say; empty for OpenAI's."""
    voices: Mapping[str, str] = field(default_factory=dict)
    """The vendor's voices for OpenAI's."""
    voice_of_model: bool = False
    """Whether a voice is named behind its model: `FunAudioLLM/CosyVoice2-0.5B:alex`."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request with the vendor's model, voice and format."""
        if self.takes is None:
            return UpstreamRequest(path=self.path, body=encode({**asked.fields, "model": raw(asked.model)}))
        taken = speech_parameters(asked)
        body: dict[str, Any] = {"model": asked.model, "input": taken.take("input", str)}
        if voice := taken.take("voice", str):
            body["voice"] = self._voice(voice, asked.model)
        body["response_format"] = chosen_format(taken, self.formats, asked)
        chosen = {name: taken.take(name, Any) for name in sorted(self.takes)}
        taken.settle()
        return UpstreamRequest(
            path=self.path,
            body=encode(body | {name: value for name, value in chosen.items() if value is not None}),
        )

    def response(self, body: bytes, asked: Asked) -> ClientResponse:  # noqa: ARG002 - no JSON is sound
        """JSON where sound was to come.

        Raises:
            UpstreamError: always; the vendor's own if it reports one.
        """
        raise no_sound(body)

    def stream(self, asked: Asked) -> StreamTranslator:
        """A stream's translator: of sound, or of the events that OpenAI has for it."""
        wanted = asked.fields.get("stream_format")
        if self.takes is None and wanted is not None and bytes(wanted) == b'"sse"':
            return OpenAIRelay(path=self.path).stream(asked)
        return SoundStream()

    def _voice(self, voice: str, model: str) -> str:
        voice = self.voices.get(voice, voice)
        return f"{model}:{voice}" if self.voice_of_model and ":" not in voice else voice


class SoundStream:
    """The StreamTranslator of sound, which goes on as it comes."""

    malformed = 0
    complete = False

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.content_type = ""

    def feed(self, chunk: bytes) -> bytes:
        """Take the vendor's next bytes; return them."""
        return self.sound(chunk)

    def sound(self, piece: bytes) -> bytes:
        """A piece of sound, which may be empty."""
        self.content_seen = self.content_seen or bool(piece)
        return piece

    def close(self) -> bytes:
        """The vendor's body has ended; nothing in it tells whether it is whole, but it cannot be empty."""
        if not self.content_seen:
            raise UpstreamProtocolError("The vendor sent no sound.", code="upstream_stream_cut")
        return b""


def cast(*, high: tuple[str, ...], low: tuple[str, ...]) -> dict[str, str]:
    """A vendor's voices for OpenAI's, by how high they are; where a vendor has fewer, they return."""
    return dict(zip(_HIGH, cycle(high), strict=False)) | dict(zip(_LOW, cycle(low), strict=False))


def speech_parameters(asked: Asked) -> Parameters:
    """The request's parameters, without those that ask for what happens anyway."""
    left = {name: value for name, value in asked.fields.items() if not _is_harmless(name, bytes(value))}
    return Parameters(replace(asked, fields=left))


def chosen_format(taken: Parameters, formats: tuple[str, ...], asked: Asked) -> str:
    """What the answer will be in: what the client names, or the first of what the vendor can.

    Raises:
        MalformedRequest: the vendor cannot answer in what the client names.
    """
    wanted = taken.take("response_format", str)
    if wanted in formats:
        return str(wanted)
    if wanted is not None and not asked.drop_params:
        known = ", ".join(formats)
        message = f"The model `{asked.model}` answers in {known}; `{wanted}` it cannot."
        raise MalformedRequest(message, param="response_format", code="unsupported_parameter")
    return formats[0]


def no_sound(body: bytes) -> UpstreamError:
    """What JSON in place of sound stands for: the error it reports, or else a broken protocol."""
    try:
        answer = decode(body)
    except JSONError:
        answer = None
    found = error_inside(answer, {}) if isinstance(answer, dict) else None
    return found or UpstreamProtocolError("The vendor's answer holds no sound.")


def _is_harmless(name: str, value: bytes) -> bool:
    if name not in _HARMLESS:
        return False
    try:
        return bool(decode(value) == _HARMLESS[name])
    except JSONError:
        return False
