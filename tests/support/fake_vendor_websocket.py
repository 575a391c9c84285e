"""A WebSocket as a fake vendor holds it: every frame the client sent is kept, and unmasked or broken ones are told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from tests.support.fake_vendor_http import Headers, Received

_ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_MESSAGE_LIMIT = 64 * 1024 * 1024  # far above any audio a test sends

Message = str | bytes


class BadFrames(ValueError):
    """What a client sent is not the WebSocket protocol: unmasked frames, text that is not UTF-8, and so on."""


class SocketClosed(Exception):
    """The client has closed the WebSocket, or has left."""


class VendorSocket:
    """One WebSocket, from the vendor's side."""

    def __init__(self, request: Received, transport: asyncio.Transport) -> None:
        self.request = request
        """The handshake."""
        self.frames: list[Frame] = []
        """Every frame as it came, control frames too, payloads unmasked."""
        self.messages: list[Message] = []
        """Every whole message as it came."""
        self.closed = asyncio.Event()
        """Set when nothing more comes from the client."""
        self._transport = transport
        self._protocol = Protocol(Side.SERVER, max_size=_MESSAGE_LIMIT)
        self._parts: list[Frame] = []
        self._broken: UnicodeDecodeError | None = None
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()

    @property
    def close_code(self) -> int | None:
        """The code of the client's close frame; 1006 when it left without one, None while it is there."""
        if not self.closed.is_set():
            return None
        told = self._protocol.close_rcvd
        return told.code if told else CloseCode.ABNORMAL_CLOSURE

    async def recv(self) -> Message:
        """The client's next message.

        Raises:
            SocketClosed: there will be none.
        """
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise SocketClosed
        return message

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Every message until the client closes."""
        while (message := await self._inbox.get()) is not None:
            yield message
        self._inbox.put_nowait(None)

    def send(self, message: Message) -> None:
        """Send one message in one frame: a text or a binary one.

        Raises:
            SocketClosed: the WebSocket is closing, or the client has left.
        """
        self.send_fragments((message,))

    def send_fragments(self, parts: Iterable[Message]) -> None:
        """Send one message in a frame for each part; the parts are all texts, or all bytes."""
        if self._protocol.state is not State.OPEN:
            raise SocketClosed
        texts = [isinstance(part, str) for part in parts]
        payloads = [part.encode() if isinstance(part, str) else part for part in parts]
        opcode = Opcode.TEXT if texts[0] else Opcode.BINARY
        for number, payload in enumerate(payloads, start=1):
            self._protocol.send_frame(Frame(opcode, payload, fin=number == len(payloads)))
            opcode = Opcode.CONT
        self._flush()

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping; the pong is found among `frames`."""
        self._protocol.send_ping(payload)
        self._flush()

    def write(self, data: bytes) -> None:
        """Send bytes as they are: half a frame, or none at all."""
        self._transport.write(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close; does nothing when the WebSocket is closing already."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._flush()

    def drop(self) -> None:
        """End the connection without a close frame."""
        self._end()
        self._transport.abort()

    def feed(self, data: bytes) -> None:
        """Take what came from the client; for the connection that holds this.

        Raises:
            BadFrames: the client broke the protocol; the WebSocket has been closed with a code that says so.
        """
        if self.closed.is_set():
            return
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            self._take(cast("Frame", event))  # past the handshake there are no other events
        broken = self._broken or self._protocol.parser_exc
        self._flush()
        if broken or self._protocol.close_rcvd:
            self._end()
        if broken:
            raise BadFrames(f"{self.request.target}: {broken}")

    def lost(self) -> None:
        """The connection has ended; for the connection that holds this."""
        self._protocol.receive_eof()
        if not self.closed.is_set():
            self._end()

    def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._parts.append(frame)
        if not frame.fin:
            return
        payload = b"".join(bytes(part.data) for part in self._parts)
        is_text = self._parts[0].opcode is Opcode.TEXT
        self._parts.clear()
        try:
            message = payload.decode() if is_text else payload
        except UnicodeDecodeError as error:
            self._broken = error
            self._protocol.fail(CloseCode.INVALID_DATA)
            return
        self.messages.append(message)
        self._inbox.put_nowait(message)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _end(self) -> None:
        self.closed.set()
        self._inbox.put_nowait(None)


async def echo(socket: VendorSocket) -> None:
    """Send every message back as it came, until the client closes."""
    async for message in socket:
        socket.send(message)


def accept_headers(request: Received) -> Headers | None:
    """The headers that accept a WebSocket; None when the request asks for none, or wrongly."""
    key = request.header("sec-websocket-key")
    asks = (request.header("upgrade") or "").lower() == "websocket"
    says = "upgrade" in (request.header("connection") or "").lower()
    if not (asks and says and key and request.header("sec-websocket-version") == "13"):
        return None
    digest = hashlib.sha1(key.encode() + _ACCEPT_SUFFIX).digest()
    accept = base64.b64encode(digest).decode()
    return (("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accept))
