"""A chat stream in OpenAI's dialect, on its way to the client. Most events are forwarded as they came, unparsed."""

from __future__ import annotations

from dataclasses import dataclass

from processor.dialects.openai_chat_repairs import (
    ErrorCheck,
    Repair,
    choices,
    error_in,
    finished,
    generated_text,
)
from processor.dialects.usage_shapes import openai
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, JSONError, decode, encode
from processor.wire.sse import DONE, SSEDecoder, SSEEvent, encode_data

_NULL_USAGE = (b',"usage":null', b'"usage":null,', b', "usage": null', b'"usage": null, ')
"""How the chunks before the last say that they hold no count. Quotes inside a JSON string are escaped, so none of these
can stand in generated text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """What is particular to one vendor's chunks."""

    repairs: tuple[Repair, ...] = ()
    check: ErrorCheck | None = None
    needles: tuple[bytes, ...] = ()
    """Those of the repairs and the check, and of what every vendor's chunks are parsed for."""


class OpenAIChatStream:
    """The StreamTranslator of OpenAI's dialect.

    Every chunk is parsed until the first content; from then on only those whose bytes hold usage, an error, or
    something to repair. The generated text of the others is measured by their length less that of an empty chunk.
    """

    def __init__(self, chunks: Chunks, *, include_usage: bool) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self._chunks = chunks
        self._include_usage = include_usage
        self._decoder = SSEDecoder()
        self._frame = 0
        """Bytes of a chunk around its text."""
        self._finished = False
        self._ended = False
        self._usage_chunk: bytes | None = None
        """The chunk that tells the client the usage, kept until the end of the stream."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the vendor's next bytes; return the client's."""
        events = self._decoder.feed(chunk)
        if len(events) == 1:
            return self._event(events[0])
        return b"".join(map(self._event, events))

    def close(self) -> bytes:
        """The vendor's body has ended: supply the `[DONE]` it may have left out."""
        out = b"".join(map(self._event, self._decoder.close()))
        if self._ended:
            return out
        if not self._finished:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out + self._end()

    def _event(self, event: SSEEvent) -> bytes:
        data = event.data
        if self._ended:
            return b""
        if not data:
            return event.raw
        if data == b"[DONE]":
            return self._end()
        if self.content_seen and not self._worth_parsing(data):
            self.output_chars += max(len(data) - self._frame, 0)
            return event.raw
        if self.content_seen and b'"usage"' in data and (stripped := self._without_null_usage(event.raw)):
            self.output_chars += max(len(data) - self._frame, 0)
            return stripped
        return self._parsed(event)

    def _worth_parsing(self, data: bytes) -> bool:
        for needle in self._chunks.needles:
            if needle in data:
                return True
        if self._finished or b'"finish_reason"' not in data:
            return False
        return b'"finish_reason":null' not in data and b'"finish_reason": null' not in data

    def _without_null_usage(self, raw: bytes) -> bytes | None:
        """The chunk without its empty usage; None if it has to be parsed for something else."""
        for null in _NULL_USAGE:
            if null in raw:
                stripped = raw.replace(null, b"", 1)
                return None if self._worth_parsing(stripped) else raw if self._include_usage else stripped
        return None

    def _parsed(self, event: SSEEvent) -> bytes:
        try:
            chunk = decode(event.data)
        except JSONError:
            return b""  # an event that is not JSON breaks clients; the stream goes on without it
        if not isinstance(chunk, dict):
            return b""
        if error := error_in(chunk, self._chunks.check):
            raise error
        before = encode(chunk)
        for repair in self._chunks.repairs:
            repair.apply(chunk)
        self._note(chunk, len(event.data))
        if self._take_usage(chunk):
            return b""
        after = encode(chunk)
        return event.raw if after == before else encode_data(after)

    def _note(self, chunk: JSON, size: int) -> None:
        text = sum(len(piece.encode()) for piece in generated_text(chunk))
        self.output_chars += text
        if text and not self._frame:
            self._frame = max(size - text, 1)
        self._finished = self._finished or finished(chunk)
        self.content_seen = self.content_seen or bool(text) or self._finished
        if not self.model and isinstance(model := chunk.get("model"), str):
            self.model = model

    def _take_usage(self, chunk: JSON) -> bool:
        """Note a count and take it off the chunk; whether nothing of the chunk is left for now."""
        if "usage" not in chunk:
            return False
        counted = openai(chunk)
        if counted is not None:
            self.usage = counted
            if self._include_usage:
                kept: JSON = {name: chunk[name] for name in ("id", "object", "created", "model") if name in chunk}
                self._usage_chunk = encode_data(encode({**kept, "choices": [], "usage": chunk["usage"]}))
        if counted is not None and not any(choices(chunk)):
            return True
        if counted is not None and self._include_usage:
            chunk["usage"] = None
        elif not self._include_usage:
            del chunk["usage"]
        return False

    def _end(self) -> bytes:
        self._ended = True
        return (self._usage_chunk or b"") + DONE
