"""One of Envoy's connections to a processor: gRPC over HTTP/2, for one method, without a thread or a copy to spare.

`grpc.aio` spends about 60 µs of processor time on each message read or written, most of it on waking the event loop
from its own thread; a chat request is a dozen of them. Here a message costs a few microseconds, and what the streams of
one connection write in a turn of the event loop goes out in one write. docs/adr/0006 has the figures.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, cast

import hpack

from processor.errors import WireError
from processor.pb.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from processor.wire import http2
from processor.wire.grpc_messages import MessageDecoder, prefixed
from processor.wire.http2 import Frame, Kind, Setting

log = logging.getLogger(__name__)

METHOD = b"/envoy.service.ext_proc.v3.ExternalProcessor/Process"

_MESSAGE_LIMIT = 1024 * 1024 * 1024
"""Bytes of one message: Envoy bounds bodies itself, by the listener's buffer limit."""
_CREDIT_STEP = 1024 * 1024
"""Bytes read before Envoy is told that it may send as many more."""

# HPACK without a dynamic table (RFC 7541): `:status: 200` is entry 8, content-type's name is entry 31.
_RESPONSE_HEADERS = b"\x88" + b"\x0f\x10" + bytes([16]) + b"application/grpc"


UNIMPLEMENTED = 12
INTERNAL = 13
"""gRPC status codes."""


def _literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing; both parts shorter than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


_INTERNAL = _literal(b"grpc-status", b"13")
_TRAILERS_OK = _literal(b"grpc-status", b"0")

Metadata = Mapping[str, str]
Handler = Callable[["Stream"], Awaitable[None]]


class Aborted(Exception):
    """Raised by `Stream.abort` to leave the handler."""


class Stream:
    """One RPC: `read` and `write` whole messages."""

    __slots__ = (
        "_connection",
        "_decoder",
        "_ended",
        "_messages",
        "_opened",
        "_status",
        "_waiter",
        "closed",
        "credit",
        "metadata",
        "number",
        "queued",
        "task",
        "unread",
        "window",
        "working",
    )

    def __init__(self, connection: Connection, number: int, metadata: Metadata, window: int) -> None:
        self.metadata = metadata
        self.number = number
        self.window = window
        """Bytes Envoy will still take on this stream."""
        self.queued: deque[bytes] = deque()
        """Frames' payloads that wait for the window."""
        self.unread = 0
        self.credit = 0
        self.closed = False
        """Whether nothing can be sent any more."""
        self._connection = connection
        self._decoder = MessageDecoder(limit=_MESSAGE_LIMIT)
        self._messages: deque[bytes] = deque()
        self._ended = False
        self._opened = False
        self._status = _TRAILERS_OK
        self._waiter: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.working = False
        """Whether the handler may be waiting for something else: it is cancelled when Envoy gives the stream up."""

    async def read(self) -> ProcessingRequest | None:
        """The next message; None when Envoy has sent its last, or is gone."""
        if not self._messages and not self._ended:
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        return ProcessingRequest.FromString(self._messages.popleft()) if self._messages else None

    async def readable(self, *, until: float) -> bool:
        """Whether `read` will not have to wait, once that is so or the loop's clock shows `until`."""
        if not self._messages and not self._ended:
            self._waiter = self._connection.loop.create_future()
            timer = self._connection.loop.call_at(until, self._wake)
            await self._waiter
            timer.cancel()
        return bool(self._messages) or self._ended

    def write(self, message: ProcessingResponse) -> None:
        """Send a message; nothing happens if Envoy is gone."""
        if self.closed:
            return
        self.open()
        self._connection.send_data(self, prefixed(message.SerializeToString()))

    def abort(self, code: int, reason: str) -> NoReturn:
        """End the RPC with an error.

        Raises:
            Aborted: always.
        """
        self._status = _literal(b"grpc-status", str(code).encode()) + _literal(b"grpc-message", reason.encode()[:120])
        raise Aborted(reason)

    def fail(self) -> None:
        """End the RPC as a bug does; what went wrong is in the log."""
        self._status = _INTERNAL

    def open(self) -> None:
        """Send the response headers, once."""
        if not self._opened:
            self._opened = True
            self._connection.send(http2.frame(Kind.HEADERS, http2.END_HEADERS, self.number, _RESPONSE_HEADERS))

    @property
    def trailers(self) -> bytes:
        """The header block that ends the RPC."""
        return self._status

    def receive(self, data: bytes, *, ended: bool) -> None:
        """Take the stream's next data."""
        if data:
            self._messages.extend(self._decoder.feed(data))
        self._ended = self._ended or ended
        if self._messages or self._ended:
            self._wake()

    def reset(self) -> None:
        """Envoy has given the stream up: what it sent is of no use any more, nor what its handler still waits for."""
        self.closed = self._ended = True
        self._messages.clear()
        self.queued.clear()
        if self.working and self.task is not None:
            self.task.cancel()
        self._wake()

    @property
    def half_closed(self) -> bool:
        """Whether Envoy has sent its last."""
        return self._ended

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Connection(asyncio.Protocol):
    """The frames of one connection, and its streams."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self.loop = asyncio.get_running_loop()
        self._handler = handler
        self._connections = connections
        self._frames = http2.FrameDecoder()
        self._headers = hpack.Decoder()
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, Stream] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        """The streams under way."""
        self._out: list[bytes] = []
        self._flushing = False
        self._window = http2.DEFAULT_WINDOW
        self._stream_window = http2.DEFAULT_WINDOW
        self._credit = 0
        self._block: tuple[Frame, list[bytes]] | None = None
        """A header block under way over several frames."""
        self._on: dict[int, Callable[[Frame], None]] = {
            Kind.DATA: self._on_data,
            Kind.HEADERS: self._on_headers,
            Kind.CONTINUATION: self._on_continuation,
            Kind.RST_STREAM: self._on_reset,
            Kind.SETTINGS: self._on_settings,
            Kind.PING: self._on_ping,
            Kind.WINDOW_UPDATE: self._on_window_update,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say first what this side takes: everything at once, since Envoy bounds what it sends."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self.send(http2.settings({Setting.INITIAL_WINDOW_SIZE: http2.LARGEST_WINDOW}))
        self.send(http2.window_update(0, http2.LARGEST_WINDOW - http2.DEFAULT_WINDOW))

    def connection_lost(self, _: Exception | None) -> None:
        """Envoy is gone: every stream ends."""
        self._connections.discard(self)
        self._transport = None
        for stream in list(self._streams.values()):
            stream.reset()
        self._streams.clear()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a connection that breaks the protocol is closed."""
        try:
            for found in self._frames.feed(data):
                if (take := self._on.get(found.kind)) is not None:
                    take(found)
        except (WireError, hpack.HPACKError) as error:
            log.warning("closing a connection: %s", error)
            if self._transport:
                self._transport.abort()

    def send(self, data: bytes) -> None:
        """Send with what else this turn of the event loop brings."""
        self._out.append(data)
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def send_data(self, stream: Stream, data: bytes) -> None:
        """Send a stream's data, as far as Envoy's windows go; the rest waits."""
        size = len(data)
        if size <= http2.FRAME_SIZE and not stream.queued and size <= self._window and size <= stream.window:
            self._take_window(stream, size)
            self.send(http2.frame(Kind.DATA, 0, stream.number, data))
            return
        for start in range(0, size, http2.FRAME_SIZE):
            stream.queued.append(data[start : start + http2.FRAME_SIZE])
        self._drain(stream)

    def shut(self) -> None:
        """Close the connection."""
        for task in self.tasks:
            task.cancel()
        if self._transport:
            self._transport.close()

    def _flush(self) -> None:
        self._flushing = False
        if self._transport and self._out:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _take_window(self, stream: Stream, size: int) -> None:
        self._window -= size
        stream.window -= size

    def _drain(self, stream: Stream) -> None:
        while stream.queued and len(stream.queued[0]) <= min(self._window, stream.window):
            piece = stream.queued.popleft()
            self._take_window(stream, len(piece))
            self.send(http2.frame(Kind.DATA, 0, stream.number, piece))
        if not stream.queued and stream.closed:
            self._finish(stream)

    def _on_headers(self, found: Frame) -> None:
        payload = http2.unpadded(found)
        if found.flags & http2.END_HEADERS:
            self._open(found, payload)
        else:
            self._block = (found, [payload])

    def _on_continuation(self, found: Frame) -> None:
        if self._block is None:
            raise WireError("a continuation of nothing")
        first, pieces = self._block
        pieces.append(found.payload)
        if sum(map(len, pieces)) > http2.FRAME_SIZE * 16:
            raise WireError("a header block without end")
        if found.flags & http2.END_HEADERS:
            self._block = None
            self._open(first, b"".join(pieces))

    def _open(self, found: Frame, block: bytes) -> None:
        fields = self._headers.decode(block, raw=True)
        if (stream := self._streams.get(found.stream)) is not None:  # trailers
            stream.receive(b"", ended=True)
            return
        metadata = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
        stream = self._streams[found.stream] = Stream(self, found.stream, metadata, self._stream_window)
        if found.flags & http2.END_STREAM:
            stream.receive(b"", ended=True)
        task = stream.task = self.loop.create_task(self._serve(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, stream: Stream) -> None:
        try:
            if stream.metadata.get(":path") != METHOD.decode():
                stream.abort(UNIMPLEMENTED, "only ExternalProcessor.Process is served here")
            await self._handler(stream)
        except Aborted:
            pass
        except Exception:
            log.exception("a stream failed")
            stream.fail()
        if not stream.closed:
            stream.closed = True
            if not stream.queued:
                self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        """Send the end of an RPC whose data has gone out."""
        if self._streams.pop(stream.number, None) is None:
            return
        stream.open()
        self.send(http2.frame(Kind.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream.number, stream.trailers))
        if not stream.half_closed:
            self.send(http2.rst_stream(stream.number))

    def _on_data(self, found: Frame) -> None:
        size = len(found.payload)
        self._credit += size
        if self._credit >= _CREDIT_STEP:
            self.send(http2.window_update(0, self._credit))
            self._credit = 0
        stream = self._streams.get(found.stream)
        if stream is None:
            return
        stream.credit += size
        if stream.credit >= _CREDIT_STEP:
            self.send(http2.window_update(stream.number, stream.credit))
            stream.credit = 0
        data = http2.unpadded(found) if found.flags & http2.PADDED else found.payload
        stream.receive(data, ended=bool(found.flags & http2.END_STREAM))

    def _on_reset(self, found: Frame) -> None:
        if stream := self._streams.pop(found.stream, None):
            stream.reset()

    def _on_settings(self, found: Frame) -> None:
        if found.flags & http2.ACK:
            return
        for name, value in http2.read_settings(found.payload):
            if name == Setting.INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
        self.send(http2.frame(Kind.SETTINGS, http2.ACK, 0))
        self._drain_all()

    def _on_ping(self, found: Frame) -> None:
        if not found.flags & http2.ACK:
            self.send(http2.frame(Kind.PING, http2.ACK, 0, found.payload))

    def _on_window_update(self, found: Frame) -> None:
        increment = int.from_bytes(found.payload, "big") & http2.LARGEST_WINDOW
        if found.stream == 0:
            self._window += increment
            self._drain_all()
        elif stream := self._streams.get(found.stream):
            stream.window += increment
            if stream.queued:
                self._drain(stream)

    def _drain_all(self) -> None:
        for stream in [stream for stream in self._streams.values() if stream.queued]:
            self._drain(stream)
