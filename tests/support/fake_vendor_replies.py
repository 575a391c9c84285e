"""What a fake vendor answers, as data: status, headers, and the steps by which a body goes out or goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from itertools import chain

from processor.wire.json import JSON, encode
from tests.support.fake_vendor_http import Framing, Headers, Received
from tests.support.fake_vendor_websocket import VendorSocket, echo


class Fault(Enum):
    """What a vendor may do instead of going on."""

    HANG = "hang"
    """Say nothing more until the client leaves."""
    CLOSE = "close"
    """End the connection in good order (FIN), whatever was promised."""
    RESET = "reset"
    """Tear the connection down (RST)."""


HANG, CLOSE, RESET = Fault

Step = bytes | float | asyncio.Event | Fault
"""Bytes to send, seconds to wait, an event to wait for, or a fault to end with.

Bytes that follow each other may go out together; a pause of 0 between them makes two writes of it. A chunked
body has one chunk for each step of bytes.
"""

_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding"})

Session = Callable[[VendorSocket], Awaitable[None]]
"""What a vendor does on a WebSocket; when it returns, the socket is closed with 1000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer; the constructors below make the usual ones. Headers go out as given, before the framing's,
    which are left out where `headers` has its own, right or wrong."""

    status: int = 200
    headers: Headers = ()
    steps: tuple[Step, ...] = ()
    """The body; with RAW framing everything."""
    before: tuple[Step, ...] = ()
    """What happens before the status line; no bytes."""
    framing: Framing = Framing.LENGTH
    length: int | None = None
    """The content-length to promise; None: what the steps come to."""
    session: Session | None = None
    """Accept a WebSocket instead."""

    @staticmethod
    def of(body: bytes = b"", *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        """These bytes, with a content-length: also a body the test has compressed."""
        return Reply(status=status, headers=tuple(headers), steps=(body,) if body else ())

    @staticmethod
    def json(value: object, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        """A value as `application/json`."""
        return Reply.of(encode(value), status=status, headers=(("content-type", "application/json"), *headers))

    @staticmethod
    def text(text: str, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        """A text as `text/plain`."""
        return Reply.of(text.encode(), status=status, headers=(("content-type", "text/plain"), *headers))

    @staticmethod
    def stream(
        steps: Iterable[Step],
        *,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        framing: Framing = Framing.CHUNKED,
    ) -> Reply:
        """A body in steps, chunked unless said otherwise."""
        return Reply(status=status, headers=tuple(headers), steps=tuple(steps), framing=framing)

    @staticmethod
    def sse(
        events: Iterable[str | JSON | Step], *, status: int = 200, headers: Iterable[tuple[str, str]] = ()
    ) -> Reply:
        """Server-sent events: a dict or a text becomes the `data:` of one; bytes and other steps stay as they are."""
        steps = (sse_event(event) if isinstance(event, str | dict) else event for event in events)
        return Reply.stream(steps, status=status, headers=(("content-type", "text/event-stream"), *headers))

    @staticmethod
    def raw(*steps: Step) -> Reply:
        """These bytes and nothing else, then the end of the connection: for answers that are not HTTP."""
        return Reply(steps=steps, framing=Framing.RAW)

    @staticmethod
    def never() -> Reply:
        """No answer, ever."""
        return Reply(before=(HANG,))

    @staticmethod
    def reset() -> Reply:
        """A connection reset instead of an answer."""
        return Reply(before=(RESET,))

    @staticmethod
    def hang_up() -> Reply:
        """The connection's end instead of an answer."""
        return Reply(before=(CLOSE,))

    @staticmethod
    def head_only(*, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        """Headers, and then nothing, ever."""
        return Reply.stream((HANG,), status=status, headers=headers)

    @staticmethod
    def websocket(session: Session = echo, *, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        """Accept the WebSocket; a subprotocol is one of `headers`. To refuse one, answer anything else."""
        return Reply(status=101, headers=tuple(headers), framing=Framing.NONE, session=session)

    def after(self, *steps: float | asyncio.Event) -> Reply:
        """The same, but only after these waits."""
        return replace(self, before=(*steps, *self.before))

    def with_headers(self, *headers: tuple[str, str]) -> Reply:
        """The same, with more headers."""
        return replace(self, headers=(*self.headers, *headers))

    def cut(self, after: int, fault: Fault = CLOSE) -> Reply:
        """The same, up to `after` bytes of its body, and then a fault; what was promised stays promised."""
        kept: list[Step] = []
        for step in self.steps:
            if isinstance(step, bytes):
                kept.append(step[:after])
                after -= len(step)
                if after <= 0:
                    break
            else:
                kept.append(step)
        return replace(self, steps=(*kept, fault), length=self.promised())

    def promised(self) -> int:
        """The content-length."""
        return self.length if self.length is not None else sum(map(len, _pieces(self.steps)))


Answer = Reply | Callable[[Received], Reply]
"""A reply, or what makes one of a request; what it raises fails the test when the vendor is closed."""


def sse_event(data: str | JSON) -> bytes:
    """One server-sent event."""
    text = data.encode() if isinstance(data, str) else encode(data)
    return b"".join((b"data: ", text, b"\n\n"))


def head(reply: Reply, *, keep_alive: bool) -> bytes:
    """The status line and headers; nothing for RAW."""
    if reply.framing is Framing.RAW:
        return b""
    lines = [f"HTTP/1.1 {reply.status} {_reason(reply.status)}"]
    lines.extend(f"{name}: {value}" for name, value in chain(reply.headers, _framing_headers(reply, keep_alive)))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def framed(reply: Reply, piece: bytes) -> bytes:
    """A piece of the body as it stands on the wire."""
    if reply.framing is not Framing.CHUNKED:
        return piece
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""


def end(reply: Reply) -> bytes:
    """What follows the whole body."""
    return b"0\r\n\r\n" if reply.framing is Framing.CHUNKED else b""


def whole(reply: Reply, *, keep_alive: bool, bodyless: bool) -> bytes | None:
    """All of a reply that only sends, in one piece; None when it also waits or fails."""
    if reply.before or reply.session or not all(isinstance(step, bytes) for step in reply.steps):
        return None
    if bodyless:
        return head(reply, keep_alive=keep_alive)
    body = (framed(reply, piece) for piece in _pieces(reply.steps))
    return b"".join((head(reply, keep_alive=keep_alive), *body, end(reply)))


def _pieces(steps: Iterable[Step]) -> Iterable[bytes]:
    return (step for step in steps if isinstance(step, bytes))


def _framing_headers(reply: Reply, keep_alive: bool) -> Headers:
    if any(name.lower() in _FRAMING_HEADERS for name, _ in reply.headers):
        return ()
    closing = () if keep_alive else (("connection", "close"),)
    if reply.framing is Framing.CHUNKED:
        return (("transfer-encoding", "chunked"), *closing)
    if reply.framing is Framing.LENGTH and reply.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return (("content-length", str(reply.promised())), *closing)
    return closing


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
