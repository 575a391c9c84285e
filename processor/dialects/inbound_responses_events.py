"""The events of an OpenAI `/responses` stream: numbered, and for each item from its opening to its end."""

from __future__ import annotations

from typing import Any

from processor.dialects.inbound_responses_answer import (
    call_item,
    item_id,
    message_item,
    reasoning_item,
    refusal_part,
    summary_part,
    text_part,
)
from processor.wire.json import JSON, encode


class Events:
    """Writes events, and numbers them."""

    def __init__(self) -> None:
        self._number = 0

    def write(self, kind: str, fields: JSON) -> bytes:
        """Any event."""
        data = encode({"type": kind, **fields, "sequence_number": self._number})
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def delta(self, head: bytes, piece: str) -> bytes:
        """An event that `delta_head` has begun."""
        number = self._number
        self._number += 1
        return b'%b%b,"sequence_number":%d}\n\n' % (head, encode(piece), number)


def delta_head(kind: str, fields: JSON) -> bytes:
    """A delta's unchanging parts, written once for the thousands of a stream."""
    return b'event: %b\ndata: %b,"delta":' % (kind.encode(), encode({"type": kind, **fields})[:-1])


class Thinking:
    """A reasoning item. The text is its summary, which is what clients show."""

    def __init__(self, events: Events, request_id: str, index: int) -> None:
        self.index = index
        self._events = events
        self._id = item_id("rs", request_id, index)
        self._at: JSON = {"output_index": index}
        self._place: JSON = {"item_id": self._id, "output_index": index, "summary_index": 0}
        self._head = delta_head("response.reasoning_summary_text.delta", self._place)
        self._pieces: list[str] = []
        self._details: list[JSON] = []

    def open(self) -> bytes:
        """The first event."""
        return self._events.write("response.output_item.added", {**self._at, "item": reasoning_item(self._id, "", [])})

    def text(self, piece: str) -> bytes:
        """The next piece of the thinking."""
        out = b""
        if not self._pieces:
            out = self._events.write("response.reasoning_summary_part.added", {**self._place, "part": summary_part("")})
        self._pieces.append(piece)
        return out + self._events.delta(self._head, piece)

    def detail(self, details: list[JSON]) -> None:
        """What the vendor wants to see again: told at the end."""
        add_details(self._details, details)

    def close(self, status: str) -> tuple[bytes, JSON]:  # noqa: ARG002 - an item of this kind has none
        """End it."""
        events, text, out = self._events, "".join(self._pieces), b""
        if text:
            out += events.write("response.reasoning_summary_text.done", {**self._place, "text": text})
            out += events.write("response.reasoning_summary_part.done", {**self._place, "part": summary_part(text)})
        item = reasoning_item(self._id, text, self._details)
        return out + events.write("response.output_item.done", {**self._at, "item": item}), item


class Speaking:
    """A message: a text or a refusal, or first the one and then the other."""

    def __init__(self, events: Events, request_id: str, index: int) -> None:
        self.index = index
        self._events = events
        self._id = item_id("msg", request_id, index)
        self._at: JSON = {"output_index": index}
        self._kind = ""
        self._place: JSON = {}
        self._head = b""
        self._pieces: list[str] = []
        self._annotations: list[JSON] = []
        self._logprobs: list[JSON] = []
        self._content: list[JSON] = []

    def open(self) -> bytes:
        """The first event."""
        item = message_item(self._id, [], "in_progress")
        return self._events.write("response.output_item.added", {**self._at, "item": item})

    def text(self, piece: str, logprobs: list[JSON]) -> bytes:
        """The next piece of the text."""
        out = b"" if self._kind == "output_text" else self._part("output_text")
        self._pieces.append(piece)
        if not logprobs:
            return out + self._events.delta(self._head, piece)
        self._logprobs += logprobs
        fields = {**self._place, "delta": piece, "logprobs": logprobs}
        return out + self._events.write("response.output_text.delta", fields)

    def refusal(self, piece: str) -> bytes:
        """The next piece of the refusal."""
        out = b"" if self._kind == "refusal" else self._part("refusal")
        self._pieces.append(piece)
        return out + self._events.delta(self._head, piece)

    def silence(self) -> bytes:
        """A text of nothing."""
        return self._part("output_text")

    def annotate(self, annotation: JSON) -> bytes:
        """A source of the text."""
        out = b"" if self._kind == "output_text" else self._part("output_text")
        fields = {**self._place, "annotation_index": len(self._annotations), "annotation": annotation}
        self._annotations.append(annotation)
        return out + self._events.write("response.output_text.annotation.added", fields)

    def close(self, status: str) -> tuple[bytes, JSON]:
        """End it."""
        out = self._end_part() if self._kind else b""
        item = message_item(self._id, self._content, status)
        return out + self._events.write("response.output_item.done", {**self._at, "item": item}), item

    def _part(self, kind: str) -> bytes:
        out = self._end_part() if self._kind else b""
        self._kind = kind
        self._place = {"item_id": self._id, **self._at, "content_index": len(self._content)}
        more: JSON = {"logprobs": []} if kind == "output_text" else {}
        self._head = delta_head(f"response.{kind}.delta", {**self._place, **more})
        return out + self._events.write("response.content_part.added", {**self._place, "part": self._whole()})

    def _end_part(self) -> bytes:
        part = self._whole()
        told = {"text": part["text"], "logprobs": self._logprobs} if self._kind == "output_text" else part
        fields = {**self._place, **{name: value for name, value in told.items() if name != "type"}}
        out = self._events.write(f"response.{self._kind}.done", fields)
        self._content.append(part)
        self._pieces, self._annotations, self._logprobs = [], [], []
        return out + self._events.write("response.content_part.done", {**self._place, "part": part})

    def _whole(self) -> JSON:
        text = "".join(self._pieces)
        return text_part(text, self._annotations, self._logprobs) if self._kind == "output_text" else refusal_part(text)


class Calling:
    """A function call."""

    def __init__(self, events: Events, request_id: str, index: int, call: JSON) -> None:
        self.index = index
        self._events = events
        self._id = item_id("fc", request_id, index)
        self._call = call
        self._at: JSON = {"output_index": index}
        self._place: JSON = {"item_id": self._id, "output_index": index}
        self._head = delta_head("response.function_call_arguments.delta", self._place)
        self._pieces: list[str] = []

    def open(self) -> bytes:
        """The first event."""
        item = call_item(self._id, self._call, "", "in_progress")
        return self._events.write("response.output_item.added", {**self._at, "item": item})

    def arguments(self, piece: str) -> bytes:
        """Their next piece."""
        if not piece:
            return b""
        self._pieces.append(piece)
        return self._events.delta(self._head, piece)

    def close(self, status: str) -> tuple[bytes, JSON]:
        """End it."""
        arguments = "".join(self._pieces)
        told = {**self._place, "name": self._call["name"], "arguments": arguments}
        out = self._events.write("response.function_call_arguments.done", told)
        item = call_item(self._id, self._call, arguments, status)
        return out + self._events.write("response.output_item.done", {**self._at, "item": item}), item


def add_details(known: list[JSON], pieces: list[JSON]) -> None:
    """Add a delta's `reasoning_details`: pieces of one text, which no signature has ended, become one entry."""
    for piece in pieces:
        last = known[-1] if known else {}
        if _continues(last, piece):
            known[-1] = {**last, **piece, "text": _text(last) + _text(piece)}
        else:
            known.append(piece)


def _continues(last: JSON, piece: JSON) -> bool:
    same = all(last.get(name) == piece.get(name) for name in ("type", "index"))
    return same and piece.get("type") == "reasoning.text" and not last.get("signature")


def _text(detail: JSON) -> str:
    text: Any = detail.get("text")
    return text if isinstance(text, str) else ""
