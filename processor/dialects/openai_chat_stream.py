"""A chat stream in OpenAI's dialect, on its way to the client: most events are forwarded as they came, only skimmed."""

from __future__ import annotations

from msgspec import UNSET

from processor.dialects.base import EVENTS_CONTENT
from processor.dialects.openai_chat_repairs import SoFar
from processor.dialects.openai_chat_rules import Rules
from processor.dialects.openai_chat_skim import Choice, Skim, counted, skim
from processor.dialects.vendor_errors import refusal
from processor.dialects.vendor_events import SSEStream, Unreadable, check_text
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, JSONError, decode, encode
from processor.wire.sse import DONE, SSEDecoder, SSEEvent, encode_data

_USAGE_KEYS = (b',"usage":', b', "usage": ')
"""How a usage behind another field is written. Quotes inside a JSON string are escaped, so these bytes never stand in
generated text: the first quote could only close a string, and then what follows would not be JSON.
"""
_KEPT_IN_USAGE_CHUNK = ("id", "object", "created", "model", "system_fingerprint", "service_tier")


class OpenAIChatStream(SSEStream):
    """The StreamTranslator of OpenAI's dialect.

    An error event ends it: what came before the error in the same chunk is not returned. An event that is no JSON
    object is left out: clients fail on it. `output_chars` counts the bytes of generated text, which is what tokens are
    estimated from.
    """

    def __init__(self, rules: Rules, *, include_usage: bool) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.content_type = EVENTS_CONTENT
        self._rules = rules
        self._include_usage = include_usage
        self._so_far = SoFar(streamed=True)
        self._decoder = SSEDecoder()
        self.complete = False
        self._last_count = b""
        """The chunk with the latest usage; one event, which the decoder bounds."""

    def close(self) -> bytes:
        """The vendor's body has ended: supply the `[DONE]` it may have left out."""
        out = self._rest() or b""
        if self.complete:
            return out
        if not self._so_far.finished:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out + self._end()

    def _event(self, event: SSEEvent) -> bytes:
        data = event.data
        if self.complete:
            return b""
        if not data:
            return event.comment()
        if data.startswith(b"[DONE]"):
            return self._end()
        seen = skim(data)
        if seen is None or self._rules.concern(seen, self._so_far):
            return self._mended(event)
        raw = event.raw
        if not raw.isascii():  # which spares most chunks the call
            check_text(raw)
        return self._passed(seen, data, raw)

    def _mended(self, event: SSEEvent) -> bytes:
        try:
            data = self._rules.mend(event.data, self._so_far)
        except JSONError:
            data = None
        if event.event == "error":
            raise refusal(502, event.data, vendor="The vendor")
        if data is None:
            raise Unreadable("An event of the vendor's stream is not a JSON object.")
        raw = event.raw if data is event.data else encode_data(data, event.event)
        seen = skim(data)
        if seen is None:  # a content that is not text, say: not OpenAI's form, but the client may know it
            self.content_seen = True
            return raw
        return self._passed(seen, data, raw)

    def _passed(self, seen: Skim, data: bytes, raw: bytes) -> bytes:
        """Take a chunk's usage off, and note what it holds: in this order: one that cannot be parsed is left out."""
        out = raw if seen.usage is UNSET else self._counted(bytes(seen.usage), seen, data, raw)
        for choice in seen.choices or ():
            self._note(choice)
        if not self.model and seen.model:
            self.model = seen.model
        return out

    def _counted(self, value: bytes, seen: Skim, data: bytes, raw: bytes) -> bytes:
        """What is left of a chunk without its usage."""
        usage = counted(value)
        if usage is None:
            return raw if self._include_usage else _without_usage(data, raw, value, null=False)
        # A count alone is the client's turn to see at the end, if it wants to.
        out = _without_usage(data, raw, value, null=self._include_usage) if seen.choices else b""
        self.usage = usage
        self._last_count = data
        return out

    def _note(self, choice: Choice) -> None:
        said = choice.said()
        if said is not None:
            size = said.size()
            self.output_chars += size
            if not self.content_seen and (size or said.more()):
                self.content_seen = self._so_far.said = True
        if choice.finish_reason:
            self._so_far.finished = self.content_seen = True

    def _end(self) -> bytes:
        self.complete = True
        if not self._include_usage or not self._last_count:
            return DONE
        return _usage_chunk(self._last_count) + DONE


def _usage_chunk(data: bytes) -> bytes:
    """The event that tells the usage alone, out of the chunk that told it; none if that proves not to be JSON."""
    try:
        chunk = decode(data)
    except JSONError:  # the skim does not read every field
        return b""
    if not chunk.get("choices"):
        return encode_data(data)
    kept = {name: chunk[name] for name in _KEPT_IN_USAGE_CHUNK if name in chunk}
    return encode_data(encode({**kept, "choices": [], "usage": chunk["usage"]}))


def _without_usage(data: bytes, raw: bytes, value: bytes, *, null: bool) -> bytes:
    """The event without its usage, or with null for it: by cutting where its place is plain, else by parsing.

    Raises:
        JSONError: it holds a number that is out of range; the skim does not read every field.
    """
    for key in _USAGE_KEYS:
        head, found, tail = raw.partition(key + value)
        if found and key not in tail:
            return head + key + b"null" + tail if null else head + tail
    chunk: JSON = decode(data)
    if null:
        chunk["usage"] = None
    else:
        del chunk["usage"]
    return encode_data(encode(chunk))
