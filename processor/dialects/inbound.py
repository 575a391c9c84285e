"""Other ways to ask for a chat, such as Anthropic's Messages: an inbound dialect composed with any chat translator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from processor.dialects.base import (
    EVENTS_CONTENT,
    Asked,
    ClientResponse,
    Pending,
    StreamTranslator,
    Translator,
    UpstreamRequest,
)
from processor.domain import Usage
from processor.wire.json import Fields


class InboundStream(Protocol):
    """A chat stream's bytes in, the client's out. One for each attempt."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of OpenAI's chat stream; return the client's, possibly none.

        Raises:
            UpstreamProtocolError: the answer breaks its protocol.
        """
        ...

    def close(self) -> bytes:
        """The chat has ended, and well: return what is left for the client."""
        ...


class Inbound(Protocol):
    """A dialect that clients ask in, in terms of OpenAI's chat. Without state; every method may be called again."""

    def chat(self, asked: Asked) -> Fields:
        """The client's request as a chat request's fields, `model` and `stream` as they are.

        Raises:
            MalformedRequest: a parameter is wrong, or has no place in a chat; named in `param`.
        """
        ...

    def answer(self, completion: bytes, asked: Asked) -> bytes:
        """A whole `chat.completion` as the client's answer.

        Raises:
            UpstreamProtocolError: it is none.
        """
        ...

    def stream(self, asked: Asked) -> InboundStream:
        """Begin writing a streamed answer."""
        ...


@dataclass(frozen=True, slots=True)
class Over:
    """The Translator of an inbound dialect over a vendor's chat. What the chat side raises passes through."""

    inbound: Inbound
    chat: Translator

    def request(self, asked: Asked) -> UpstreamRequest:
        """The client's request, as the vendor's chat has it."""
        return self.chat.request(self._as_chat(asked))

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """The vendor's answer in the client's dialect."""
        return self._told(self.chat.response(body, self._as_chat(asked)), asked)

    def stream(self, asked: Asked) -> OverStream:
        """A stream's translator."""
        return OverStream(self.inbound.stream(asked), self.chat.stream(self._as_chat(asked)))

    def _as_chat(self, asked: Asked) -> Asked:
        """The request as a chat; a stream's usage is for the inbound dialect, whatever the client wants to see."""
        return replace(asked, fields=self.inbound.chat(asked), include_usage=True)

    def _told(self, answer: ClientResponse | Pending, asked: Asked) -> ClientResponse | Pending:
        if isinstance(answer, ClientResponse):
            return replace(answer, body=self.inbound.answer(answer.body, asked))
        then = answer.then
        return replace(answer, then=lambda bodies: self._told(then(bodies), asked))


class OverStream:
    """The StreamTranslator of an inbound dialect over a chat's: what was counted and seen is the chat's to say."""

    def __init__(self, inbound: InboundStream, chat: StreamTranslator) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.content_seen = False
        self.output_chars = 0
        self.content_type = EVENTS_CONTENT
        self.malformed = 0
        self.complete = False
        self._inbound = inbound
        self._chat = chat

    def feed(self, chunk: bytes) -> bytes:
        """Take the vendor's next bytes; return the client's."""
        try:
            told = self._chat.feed(chunk)
        finally:
            self._note()
        return self._inbound.feed(told) if told else b""

    def close(self) -> bytes:
        """The vendor's body has ended."""
        told = self._chat.close()
        self._note()
        return (self._inbound.feed(told) if told else b"") + self._inbound.close()

    def _note(self) -> None:
        chat = self._chat
        self.usage, self.model = chat.usage, chat.model
        self.content_seen, self.output_chars = chat.content_seen, chat.output_chars
        self.malformed, self.complete = chat.malformed, chat.complete
