"""The content blocks of an Anthropic Messages stream: each begins when the one before has ended.

A chat may mix the pieces of parallel calls. The first call is told as it comes; what belongs behind it waits until its
arguments are whole, which for vendors that send one call after the other is at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from processor.dialects.inbound_messages_thinking import is_readable, signature_of, text_of, thinking_block
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON, JSONError, decode, encode
from processor.wire.sse import encode_data

_LIMIT = 16 * 1024 * 1024
"""Characters kept: the arguments of the call that is being told, and what waits."""

_DELTAS = {
    "text": b'"text_delta","text":',
    "thinking": b'"thinking_delta","thinking":',
    "tool_use": b'"input_json_delta","partial_json":',
}


def event(kind: str, fields: JSON) -> bytes:
    """An event."""
    return encode_data(encode({"type": kind, **fields}), kind)


@dataclass(slots=True)
class _Block:
    """One block: what it begins with, and what is kept of what followed."""

    content: JSON
    pieces: list[str] = field(default_factory=list)
    """What waits to be told; of a call, all of its arguments until it ends."""
    detail: JSON = field(default_factory=dict)
    """What the vendor said of this thinking beside its text."""
    retold: bool = False
    """Whether a thinking's text comes apart from its details, which repeat it."""
    ended: bool = False

    @property
    def kind(self) -> str:
        return str(self.content["type"])

    def may_end(self) -> bool:
        """Whether another block may follow: behind a call, once its arguments are a whole object."""
        if self.kind != "tool_use":
            return True
        if not self.pieces or not self.pieces[-1].rstrip().endswith("}"):
            return False
        self.pieces = ["".join(self.pieces)]
        try:
            decode(self.pieces[0].encode())
        except JSONError:
            return False
        return True


class Blocks:
    """Writes the blocks."""

    def __init__(self, *, limit: int = _LIMIT) -> None:
        self.called = False
        """Whether there was a call."""
        self._limit = limit
        self._kept = 0
        self._index = -1
        self._open: _Block | None = None
        self._kind = ""
        """Of the open block."""
        self._delta = b""
        """How a delta of the open block begins."""
        self._waiting: list[_Block] = []
        """Blocks behind an open call that is not whole yet."""
        self._calls: dict[int, _Block] = {}
        """By their index in the chat."""

    def text(self, piece: str) -> bytes:
        """A piece of the answer's text."""
        if self._kind == "text":
            return self._delta + encode(piece) + b"}}\n\n"
        out, block = self._last("text") or self._place(_Block({"type": "text", "text": ""}))
        return out + self._more(block, piece)

    def thinking(self, piece: str) -> bytes:
        """A piece of the thinking's text."""
        out, block = self._thought()
        block.retold = True
        return out + self._more(block, piece)

    def detail(self, detail: JSON) -> bytes:
        """What the vendor says of its thinking: a piece of it, or a signature behind the last one."""
        out, block = self._thought()
        text = text_of(detail)
        if text and not block.retold:
            out += self._more(block, text)
        block.detail |= {name: value for name, value in detail.items() if value is not None}
        return out

    def whole(self, content: JSON) -> bytes:
        """A block without deltas."""
        return self._place(_Block(content))[0]

    def call(self, at: int, id: str, name: str) -> bytes:  # noqa: A002 - the chat's word
        """A call's beginning; `at` is its index in the chat."""
        self.called = True
        block = _Block({"type": "tool_use", "id": id, "name": name, "input": {}})
        self._calls[at] = block
        return self._place(block)[0]

    def begins(self, at: int, id: str | None, name: str) -> bool:  # noqa: A002 - the chat's word
        """Whether a piece is a call's first; some vendors give all calls one index."""
        known = self._calls.get(at)
        return known is None or bool(id and name and id != known.content["id"])

    def arguments(self, at: int, piece: str) -> bytes:
        """A piece of a call's arguments."""
        block = self._calls[at]
        if not piece or block.ended:  # nothing but blanks can follow a whole object
            return b""
        out = self._more(block, piece)
        if block is self._open:
            self._keep(block, piece)
            while self._waiting and self._may_begin():
                out += self._begin(self._waiting.pop(0))
        return out

    def close(self) -> bytes:
        """The answer has ended."""
        out = b""
        while self._waiting:
            out += self._begin(self._waiting.pop(0))
        return out + self._end()

    def _thought(self) -> tuple[bytes, _Block]:
        """The thinking that goes on, or a new one; a signature ends it."""
        found = self._last("thinking")
        if found is not None and not found[1].detail.get("signature"):
            return found
        return self._place(_Block(thinking_block("", "")))

    def _last(self, kind: str) -> tuple[bytes, _Block] | None:
        """The last block, if it is of a kind."""
        block = self._waiting[-1] if self._waiting else self._open
        return None if block is None or block.kind != kind else (b"", block)

    def _place(self, block: _Block) -> tuple[bytes, _Block]:
        """Begin a block, or let it wait."""
        if self._waiting or not self._may_begin():
            self._waiting.append(block)
            return b"", block
        return self._begin(block), block

    def _may_begin(self) -> bool:
        return self._open is None or self._open.may_end()

    def _more(self, block: _Block, piece: str) -> bytes:
        if block is self._open:
            return self._delta + encode(piece) + b"}}\n\n"
        self._keep(block, piece)
        return b""

    def _keep(self, block: _Block, piece: str) -> None:
        self._kept += len(piece)
        if self._kept > self._limit:
            raise UpstreamProtocolError(f"The vendor's calls are longer than {self._limit} characters.")
        if piece.isspace() and block.pieces:  # `may_end` looks at the last piece
            block.pieces[-1] += piece
        else:
            block.pieces.append(piece)

    def _begin(self, block: _Block) -> bytes:
        out = self._end()
        self._index += 1
        self._open = block
        self._kind = block.kind
        kind = _DELTAS.get(block.kind, b"")
        head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b'
        self._delta = head % (self._index, kind)
        out += event("content_block_start", {"index": self._index, "content_block": block.content})
        if block.pieces:
            out += self._delta + encode("".join(block.pieces)) + b"}}\n\n"
        return out

    def _end(self) -> bytes:
        block = self._open
        if block is None:
            return b""
        self._open = None
        self._kind = ""
        self._kept -= sum(map(len, block.pieces))
        block.pieces.clear()
        block.ended = True
        out = b""
        if is_readable(block.detail) and (signature := signature_of(block.detail)):
            delta = {"type": "signature_delta", "signature": signature}
            out = event("content_block_delta", {"index": self._index, "delta": delta})
        return out + event("content_block_stop", {"index": self._index})
