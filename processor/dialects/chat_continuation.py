"""What a client has of a chat stream that broke off, and what of a second answer it lacks. Pure.

Both are OpenAI's chunks, as clients get them. Only an answer that begins as the first one did can go on from it: the
same text and the same thinking, to the letter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from processor.wire.json import JSON, JSONError, decode, encode
from processor.wire.sse import DONE, SSEDecoder, encode_data

_TEXTS = ("content", "reasoning_content")
_LONGEST = 4 * 1024 * 1024
"""Characters that are remembered; a stream that says more cannot be continued."""
_ENVELOPE = ("id", "created", "model", "system_fingerprint")


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    refusal: str | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


_chunk = msgspec.json.Decoder(_Chunk)


@dataclass(slots=True)
class Continuation:
    """Listens to what a client is sent."""

    possible: bool = True
    """False once something was said that cannot be continued: a call, a refusal, a second choice."""
    _texts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _TEXTS})
    _size: int = 0
    _first: bytes = b""
    _decoder: SSEDecoder = field(default_factory=SSEDecoder)

    def heard(self, sent: bytes) -> None:
        """The client has been sent these bytes, whole events."""
        if not self.possible:
            return
        for event in self._decoder.feed(sent):
            if event.data and not event.data.startswith(b"[DONE]"):
                self._first = self._first or event.data
                self._note(event.data)

    def rest(self, second: bytes) -> bytes | None:
        """What a second answer says beyond the first, `[DONE]` included; None if it does not begin as that did."""
        if not self.possible:
            return None
        left = {name: "".join(self._texts[name]) for name in _TEXTS}
        decoder, out = SSEDecoder(), b""
        envelope = self._envelope()
        for event in [*decoder.feed(second), *decoder.close()]:
            if not event.data or event.data.startswith(b"[DONE]"):
                continue
            chunk = {**decode(event.data), **envelope}
            kept = _cut(chunk, left)
            if kept is None:
                return None
            out += encode_data(encode(kept)) if kept else b""
        return None if any(left.values()) else out + DONE

    def _note(self, data: bytes) -> None:
        try:
            choices = _chunk.decode(data).choices or []
        except JSONError:
            self.possible = False
            return
        for choice in choices:
            delta = choice.delta
            if delta is None:
                continue
            if choice.index or delta.tool_calls is not msgspec.UNSET or delta.refusal:
                self.possible = False
            for name in _TEXTS:
                if text := getattr(delta, name):
                    self._texts[name].append(text)
                    self._size += len(text)
        self.possible = self.possible and self._size <= _LONGEST

    def _envelope(self) -> JSON:
        first = decode(self._first) if self._first else {}
        return {name: first[name] for name in _ENVELOPE if name in first}


def _cut(chunk: JSON, left: dict[str, str]) -> JSON | None:
    """A chunk of the second answer without what the client has; empty if nothing is left of it, None if it differs."""
    said_more = not chunk.get("choices")
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        delta.pop("role", None)
        for name in _TEXTS:
            if not isinstance(text := delta.get(name), str):
                continue
            known = left[name]
            size = min(len(known), len(text))
            if text[:size] != known[:size]:
                return None
            left[name] = known[size:]
            if size and size == len(text):
                del delta[name]
            else:
                delta[name] = text[size:]
        said_more = said_more or bool(choice.get("finish_reason")) or any(delta.values())
    return chunk if said_more else {}
