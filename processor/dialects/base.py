"""The shapes every dialect has: a request goes out, an answer comes back whole or as a stream. All pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from processor.domain import Usage
from processor.wire.json import Fields

HeaderPairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """What goes to the vendor, credentials aside."""

    path: str
    """With its query, below the vendor's scheme and host."""
    body: bytes
    headers: HeaderPairs = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientResponse:
    """What goes to the client for a whole answer, and what it cost."""

    body: bytes
    usage: Usage | None
    """None when the vendor gave no count."""
    model: str
    """As the vendor answered; empty when it does not say."""
    output_chars: int = 0
    """Generated characters, to estimate from when `usage` is None; 0 is fine when it is not."""


class StreamTranslator(Protocol):
    """Vendor's bytes in, client's bytes out. One for each attempt; not to be shared."""

    usage: Usage | None
    """The vendor's latest count, None before the first."""
    model: str
    """As the vendor answered; empty until it is known."""
    content_seen: bool
    """Whether an event a client can use (text, reasoning, a tool call, a refusal, a finish) has passed."""
    output_chars: int
    """Generated characters so far: what a cut stream's tokens are estimated from."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the vendor's next bytes; return the client's, possibly none.

        Raises:
            UpstreamError: the vendor reported an error inside its 200, with the status it means.
                After that the translator is done: feed and close must not be called again.
        """
        ...

    def close(self) -> bytes:
        """The vendor's body has ended: return what is left for the client, a missing `[DONE]` included.

        Raises:
            UpstreamProtocolError: the stream ended before its last event.
        """
        ...


class Translator(Protocol):
    """One operation of one vendor, in OpenAI's terms. Frozen data; every method may be called again."""

    @property
    def path(self) -> str:
        """The vendor's path, below its scheme and host."""
        ...

    def request(self, fields: Fields, *, model: str, stream: bool) -> UpstreamRequest:
        """Translate a client's request for the vendor's `model`; `fields` is never changed.

        Raises:
            MalformedRequest: a parameter the vendor cannot do, named in `param`.
        """
        ...

    def response(self, body: bytes) -> ClientResponse:
        """Translate a whole answer that came with a 2xx status.

        Raises:
            UpstreamError: the vendor reported an error inside its 200, or the body is not its protocol.
        """
        ...

    def stream(self, *, include_usage: bool) -> StreamTranslator:
        """Begin translating a streamed answer; `include_usage` is what the client asked for."""
        ...


class Observer(Protocol):
    """Watches a passthrough body. It returns nothing, so it cannot change a byte."""

    usage: Usage | None
    model: str
    content_seen: bool
    output_chars: int
    complete: bool
    """Whether the counts are final: the vendor's last event, or a whole body, has been read."""

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes, as sent (compressed or not). Never raises."""
        ...

    def close(self) -> None:
        """The body has ended. Never raises."""
        ...
