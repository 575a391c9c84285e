"""A vendor's stream, event by event: one that cannot be read is left out and counted, so that it ends no answer."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, Protocol, TypeVar

from processor.errors import UpstreamProtocolError
from processor.wire.json import JSONError
from processor.wire.sse import SSEDecoder, SSEEvent

MALFORMED_LIMIT = 16
"""Events of one stream that may be left out: more are no accident, but a vendor that does not speak its dialect."""

E = TypeVar("E")


class Unreadable(UpstreamProtocolError):
    """Bytes that are not JSON, or not of their dialect's shape: the end of a whole answer, a gap in a stream."""


_UNREADABLE = (Unreadable, *JSONError)


class Framing(Protocol[E]):
    """Splits a body into events."""

    def feed(self, chunk: bytes) -> list[E]:
        """Take the next bytes; return the events they complete. Raises WireError."""
        ...


class EventStream(Generic[E]):
    """The part of a StreamTranslator that takes its stream apart; a dialect's stream says what an event becomes.

    An event that is unreadable must not have changed the stream's state, or a last one would pass for read.
    """

    malformed = 0
    complete = False
    _decoder: Framing[E]

    def feed(self, chunk: bytes) -> bytes:
        """Take the vendor's next bytes; return the client's."""
        events = self._decoder.feed(chunk)
        if len(events) != 1:
            return b"".join([self._tried(event) for event in events])
        try:  # `_tried` here: nearly every chunk is one event, and the call would be felt
            return self._event(events[0])
        except _UNREADABLE:
            return self._leave_out()

    @abstractmethod
    def _event(self, event: E) -> bytes:
        """What the client gets for an event.

        Raises:
            Unreadable, JSONError: it is left out.
            UpstreamError: the stream ends with it.
        """

    def _tried(self, event: E) -> bytes:
        try:
            return self._event(event)
        except _UNREADABLE:
            return self._leave_out()

    def _leave_out(self) -> bytes:
        self.malformed += 1
        if self.malformed > MALFORMED_LIMIT:
            message = f"More than {MALFORMED_LIMIT} events of the vendor's stream cannot be read."
            raise UpstreamProtocolError(message) from None
        return b""


class SSEStream(EventStream[SSEEvent]):
    """The same of server-sent events."""

    _decoder: SSEDecoder

    def _rest(self) -> bytes | None:
        """What the client gets for an event without its empty line; None if the body ended in the middle of one."""
        try:
            return b"".join([self._event(event) for event in self._decoder.close()])
        except _UNREADABLE:
            return None


def check_text(raw: bytes) -> None:
    """Check an event that goes on as it came: a typed pass does not look into the strings it skips.

    Raises:
        UnicodeDecodeError: it is not UTF-8, and so no JSON.
    """
    raw.decode()
