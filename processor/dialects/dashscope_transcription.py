"""Transcription by DashScope's Qwen-ASR models: a chat whose user message is the sound."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from processor.dialects.base import EVENTS_CONTENT, Asked, ClientResponse, Upload, UpstreamRequest
from processor.dialects.dashscope_answer import Answer, answered, answered_event
from processor.dialects.dashscope_chat import MULTIMODAL_PATH, STREAMED
from processor.dialects.transcription import (
    PLAIN_TEXTS,
    check_format,
    format_of,
    sound_of,
    transcription_parameters,
)
from processor.dialects.vendor_events import SSEStream
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, encode
from processor.wire.sse import SSEDecoder, SSEEvent, encode_data

_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class DashScopeTranscription:
    """The Translator."""

    def request(self, asked: Asked) -> UpstreamRequest:
        """The sound as a `data:` URL; the prompt, which tells the context, as a system message."""
        sound = sound_of(asked)
        check_format(asked)
        taken = transcription_parameters(asked)
        prompt, language = taken.take("prompt", str), taken.take("language", str)
        taken.settle()
        messages = [{"role": "system", "content": [{"text": prompt}]}] if prompt else []
        messages.append({"role": "user", "content": [{"audio": _data_url(sound)}]})
        parameters: JSON = {"asr_options": {"language": language}} if language else {}
        if asked.stream:
            parameters["incremental_output"] = True
        body = {"model": asked.model, "input": {"messages": messages}, "parameters": parameters}
        return UpstreamRequest(path=MULTIMODAL_PATH, body=encode(body), headers=STREAMED if asked.stream else ())

    def response(self, body: bytes, asked: Asked) -> ClientResponse:
        """The text, alone or as `{text, usage}`."""
        answer = answered(body)
        text, usage = _text(answer), answer.counted()
        if wanted := PLAIN_TEXTS.get(format_of(asked)):
            return ClientResponse(body=text.encode(), usage=usage, model="", content_type=wanted)
        return ClientResponse(body=encode({"text": text, **_usage(answer)}), usage=usage, model="")

    def stream(self, asked: Asked) -> DashScopeTranscriptionStream:  # noqa: ARG002 - it is the same for all
        """A stream's translator."""
        return DashScopeTranscriptionStream()


class DashScopeTranscriptionStream(SSEStream):
    """The StreamTranslator: `transcript.text.delta` events, and `transcript.text.done` with all of the text."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.content_type = EVENTS_CONTENT
        self._pieces: list[str] = []
        """Of a text that is as short as the sound a form may hold."""
        self._decoder = SSEDecoder()
        self._ended = False

    def close(self) -> bytes:
        """The vendor's body has ended."""
        out = self._rest() or b""
        if not self._ended:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out

    def _event(self, event: SSEEvent) -> bytes:
        if not event.data or self._ended:
            return b""
        answer = answered_event(event)
        self.usage = answer.counted() or self.usage
        piece = _text(answer)
        out = _said("transcript.text.delta", delta=piece) if piece else b""
        self._pieces.append(piece)
        self.output_chars += len(piece.encode())
        choices = answer.output.all_choices() if answer.output else []
        if any(choice.reason(calls=False) for choice in choices):
            self._ended = True
            out += _said("transcript.text.done", text="".join(self._pieces), **_usage(answer))
        self.content_seen = self.content_seen or bool(out)
        return out


def _said(kind: str, **fields: Any) -> bytes:
    return encode_data(encode({"type": kind, **fields}))


def _text(answer: Answer) -> str:
    choices = answer.output.all_choices() if answer.output else []
    return "".join(choice.message.text() for choice in choices[:1] if choice.message)


def _usage(answer: Answer) -> JSON:
    """OpenAI's usage by the length of the sound, which is what DashScope bills."""
    seconds = (answer.usage or {}).get("seconds")
    return {"usage": {"type": "duration", "seconds": seconds}} if isinstance(seconds, int | float) else {}


def _data_url(sound: Upload) -> str:
    kind = sound.content_type
    if kind in ("", _UNKNOWN_TYPE):
        _, dot, suffix = sound.filename.rpartition(".")
        kind = f"audio/{suffix.lower() if dot and suffix.isalnum() else 'wav'}"
    return f"data:{kind};base64,{b64encode(sound.body).decode()}"
