"""DashScope's native chat stream, as the chunks of OpenAI's."""

from __future__ import annotations

from processor.dialects.base import Asked
from processor.dialects.chat_answer import ChatStream, tool_call
from processor.dialects.dashscope_answer import Answer, Call, Choice, Function, answered_event
from processor.dialects.vendor_events import SSEStream
from processor.domain import Usage
from processor.errors import UpstreamProtocolError
from processor.wire.sse import SSEDecoder, SSEEvent


class DashScopeChatStream(SSEStream, ChatStream):
    """The StreamTranslator. Each event adds to the last; all of them count, and the latest count holds.

    Nothing but a finish reason tells that a stream is whole: it has no `[DONE]`.
    """

    def __init__(self, asked: Asked) -> None:
        self._usage: Usage | None = None
        self._uncounted: Answer | None = None
        super().__init__(asked)
        self._decoder = SSEDecoder()
        self._calls: dict[int, list[int | str]] = {}
        """By choice, what its calls are known by, in the order they began. Bounded by what a model calls."""
        self._finished: set[int] = set()

    @property
    def usage(self) -> Usage | None:
        """The latest count. Every event brings one, so it is read only when somebody asks: half of an event's cost."""
        if self._uncounted is not None:
            self._usage = self._uncounted.counted() or self._usage
            self._uncounted = None
        return self._usage

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        self._usage = usage

    def close(self) -> bytes:
        """The vendor's body has ended."""
        out = self._rest()
        if out is None or not self._finished:
            raise UpstreamProtocolError("The vendor's stream ended before its last event.", code="upstream_stream_cut")
        return out + self.end()

    def _event(self, event: SSEEvent) -> bytes:
        if not event.data:
            return b""
        answer = answered_event(event)
        if answer.usage:
            self._uncounted = answer
        out = self.begin(id=answer.request_id)
        for choice in answer.output.all_choices() if answer.output else ():
            out += self._choice(choice)
        return out

    def _choice(self, choice: Choice) -> bytes:
        index = choice.index or 0
        out = b""
        if said := choice.message:
            out = self.reasoning(said.reasoning_content or "", index=index)
            out += self.text(said.text(), index=index)
            for call in said.tool_calls or ():
                out += self._call(call, index)
        if choice.logprobs:
            out += self.logprobs(choice.logprobs, index=index)
        reason = choice.reason(calls=index in self._calls)
        if reason is None or index in self._finished:
            return out
        self._finished.add(index)
        return out + self.finish(reason, index=index)

    def _call(self, call: Call, index: int) -> bytes:
        """A call's first piece, or more of its arguments; a piece that names no call goes on with the latest."""
        known = self._calls.setdefault(index, [])
        function = call.function or Function()
        name = call.index if call.index is not None else call.id or (known[-1] if known else 0)
        if name in known:
            return self.arguments(known.index(name), function.arguments or "", index=index)
        known.append(name)
        id_ = call.id or f"{self._id}_{len(known) - 1}"
        return self.call(len(known) - 1, tool_call(id_, function.name or "", function.arguments or ""), index=index)
