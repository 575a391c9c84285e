"""The shapes every dialect has: a request goes out, an answer comes back whole or as a stream. All pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from processor.domain import Usage
from processor.wire.json import Fields

HeaderPairs = tuple[tuple[str, str], ...]

JSON_CONTENT = "application/json"
EVENTS_CONTENT = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file a client sent in a form."""

    name: str
    """The form field it came in: `file`, `image`, `image[]`, `mask`."""
    filename: str
    content_type: str
    """Empty when the client named none."""
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A client's request, as it is put to one target. Nobody changes it: the next attempt translates it again."""

    fields: Fields
    """The body's top level. A form's text fields stand here as JSON strings, or lists of them where one repeats."""
    model: str
    """The vendor's name for the model."""
    stream: bool = False
    """Whether the answer is wanted as it comes: what the client asked for, and always so for speech."""
    include_usage: bool = False
    """Whether the client asked for the usage at the end of its stream."""
    uploads: tuple[Upload, ...] = ()
    drop_params: bool = False
    """Whether a parameter the vendor cannot do is left out; if not, it is a 400 that names it."""
    request_id: str = ""
    """For answers whose vendor gives them no id."""
    now: int = 0
    """Seconds since the epoch, for answers whose vendor does not date them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRequest:
    """What goes to the vendor, credentials aside."""

    path: str
    """With its query, below the vendor's scheme and host."""
    body: bytes = b""
    headers: HeaderPairs = ()
    method: str = "POST"
    content_type: str = JSON_CONTENT


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file behind a URL that a vendor's answer holds. No credential goes with it."""

    url: str


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
    content_type: str = JSON_CONTENT
    malformed: int = 0
    """Of an answer that was a stream: the events that could not be read, and were left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An answer that takes more calls: the rest of a batch, a task's state, a file behind a URL."""

    calls: tuple[UpstreamRequest | Fetch, ...]
    """Made side by side, to the same provider, with the same credential. One that fails fails the request."""
    then: Callable[[tuple[bytes, ...]], ClientResponse | Pending]
    """Takes the calls' bodies, in their order; raises UpstreamError as `response` does."""
    wait: float = 0.0
    """Seconds before they are made."""


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
    content_type: str
    """Of the client's stream; empty for the vendor's own."""
    malformed: int
    """Events that could not be read, and were left out."""
    complete: bool
    """Whether the event has passed that nothing follows: `close` may be called though the body has not ended."""

    def feed(self, chunk: bytes) -> bytes:
        """Take the vendor's next bytes; return the client's, possibly none.

        Raises:
            UpstreamError: the vendor reported an error inside its 200, with the status it means.
                After that the translator is done: feed and close must not be called again.
            UpstreamProtocolError: more events than a few could not be read, or what they hold cannot be an answer.
            WireError: the bytes are not its framing: the exchange makes a 502 of that.
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

    def request(self, asked: Asked) -> UpstreamRequest:
        """Translate a client's request for the vendor.

        Raises:
            MalformedRequest: a parameter is wrong, or the vendor cannot do it; named in `param`.
        """
        ...

    def response(self, body: bytes, asked: Asked) -> ClientResponse | Pending:
        """Translate a whole answer that came with a 2xx status to the request `asked`.

        Raises:
            UpstreamError: the vendor reported an error inside its 200, or the body is not its protocol.
        """
        ...

    def stream(self, asked: Asked) -> StreamTranslator:
        """Begin translating a streamed answer."""
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
