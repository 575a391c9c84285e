"""A chat stream as the stream of an OpenAI `/responses`."""

from __future__ import annotations

from processor.dialects.base import Asked
from processor.dialects.inbound_chat import Answer, Call, Choice, Said, read
from processor.dialects.inbound_responses_answer import ResponseForm, annotation, item_status, logprob, named
from processor.dialects.inbound_responses_events import Calling, Events, Speaking, Thinking
from processor.dialects.inbound_responses_items import call_detail
from processor.errors import UpstreamProtocolError
from processor.wire.json import JSON
from processor.wire.sse import SSEDecoder

_LIMIT = 64 * 1024 * 1024
"""Bytes of a chat stream: the events at the end repeat all that was said, so it has to be kept."""


class ResponsesStream:
    """The InboundStream of `/responses`."""

    def __init__(self, asked: Asked, *, limit: int = _LIMIT) -> None:
        self._form = ResponseForm(asked)
        self._limit = limit
        self._decoder = SSEDecoder()
        self._events = Events()
        self._output = _Output(self._events, asked.request_id)
        self._size = 0
        self._begun = False
        self._ended = False
        self._model = ""
        self._usage: JSON | None = None
        self._finish_reason: str | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Take the chat's next bytes; return the client's.

        Raises:
            UpstreamProtocolError: the answer is too long to be kept.
        """
        self._size += len(chunk)
        if self._size > self._limit:
            raise UpstreamProtocolError(f"The vendor's answer is longer than {self._limit} bytes.")
        return b"".join([self._data(event.data) for event in self._decoder.feed(chunk)])

    def close(self) -> bytes:
        """The chat has ended, and so does the response."""
        rest = b"".join([self._data(event.data) for event in self._decoder.close()])
        return rest + self._end()

    def _data(self, data: bytes) -> bytes:
        if not data or self._ended:
            return b""
        if data.startswith(b"[DONE]"):
            return self._end()
        chunk = read(data)
        return self._chunk(chunk) if chunk else b""

    def _chunk(self, chunk: Answer) -> bytes:
        out = b"" if self._begun else self._begin(chunk.model or "")
        if chunk.usage:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.index == 0:  # a response has one
                out += self._output.add(choice)
                self._finish_reason = choice.finish_reason or self._finish_reason
        return out

    def _begin(self, model: str) -> bytes:
        self._begun = True
        self._model = model
        fields = {"response": self._form.begun(model)}
        return self._events.write("response.created", fields) + self._events.write("response.in_progress", fields)

    def _end(self) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        out = b"" if self._begun else self._begin("")
        out += self._output.close(item_status(self._finish_reason))
        response = self._form.ended(
            self._model, self._output.items, finish_reason=self._finish_reason, usage=self._usage
        )
        return out + self._events.write(f"response.{response['status']}", {"response": response})


class _Output:
    """The items, open and done.

    Thinking and messages follow each other. Calls stay open to the end: vendors may mix the pieces of parallel ones.
    """

    def __init__(self, events: Events, request_id: str) -> None:
        self.items: list[JSON] = []
        """By their place; empty while they are open."""
        self._events = events
        self._request_id = request_id
        self._open: Thinking | Speaking | None = None
        self._calls: dict[int, Calling] = {}
        """By their index in the chat."""

    def add(self, choice: Choice) -> bytes:
        """What a chunk adds."""
        said = choice.delta
        if said is None:
            return b""
        out = b""
        if said.thought:
            opened, thinking = self._thinking()
            out += opened + thinking.text(said.thought)
        if said.reasoning_details:
            opened, thinking = self._thinking()
            thinking.detail(said.reasoning_details)
            out += opened
        if said.content or said.refusal or said.annotations:
            out += self._said(said, [logprob(token) for token in choice.tokens()])
        for number, call in enumerate(said.tool_calls or ()):
            out += self._call(call, number)
        return out

    def close(self, status: str) -> bytes:
        """The end of all that is open; `status` is the last item's. An answer of nothing is an empty message."""
        out = b""
        if not self.items:
            opened, speaking = self._speaking()
            out += opened + speaking.silence()
        out += self._close(status if not self._calls else "completed")
        calls = list(self._calls.values())
        for call in calls:
            ended, self.items[call.index] = call.close(status if call is calls[-1] else "completed")
            out += ended
        return out

    def _said(self, said: Said, logprobs: list[JSON]) -> bytes:
        out, speaking = self._speaking()
        if said.content:
            out += speaking.text(said.content, logprobs)
        for entry in said.annotations or ():
            out += speaking.annotate(annotation(entry))
        if said.refusal:
            out += speaking.refusal(said.refusal)
        return out

    def _call(self, piece: Call, number: int) -> bytes:
        at = number if piece.index is None else piece.index
        if known := self._calls.get(at):
            return known.arguments(piece.arguments)
        out = b""
        if piece.extra_content:
            out, thinking = self._thinking()
            thinking.detail([call_detail(piece.id or "", piece.extra_content)])
        out += self._close("completed")
        place = len(self.items)
        call = named(piece, self._request_id, place)
        begun = self._calls[at] = Calling(self._events, self._request_id, place, call)
        self.items.append({})
        return out + begun.open() + begun.arguments(piece.arguments)

    def _thinking(self) -> tuple[bytes, Thinking]:
        if isinstance(self._open, Thinking):
            return b"", self._open
        out = self._close("completed")
        item = self._open = Thinking(self._events, self._request_id, len(self.items))
        self.items.append({})
        return out + item.open(), item

    def _speaking(self) -> tuple[bytes, Speaking]:
        if isinstance(self._open, Speaking):
            return b"", self._open
        out = self._close("completed")
        item = self._open = Speaking(self._events, self._request_id, len(self.items))
        self.items.append({})
        return out + item.open(), item

    def _close(self, status: str) -> bytes:
        if self._open is None:
            return b""
        out, self.items[self._open.index] = self._open.close(status)
        self._open = None
        return out
