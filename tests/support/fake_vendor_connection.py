"""One connection to a fake vendor: reads requests, and plays the replies it is given for them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

from tests.support.fake_vendor_http import BadRequestBytes, Framing, Received, RequestReader
from tests.support.fake_vendor_journal import Disconnect, Journal
from tests.support.fake_vendor_replies import HANG, RESET, Reply, Session, Step, end, framed, head, whole
from tests.support.fake_vendor_websocket import BadFrames, SocketClosed, VendorSocket, accept_headers

_AT_ONCE = 64 * 1024
"""Bytes a socket takes without waiting; larger answers are sent by a task that waits until they are taken."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: closing sends RST
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Ended(Exception):
    """The connection must end here."""


class Connection(asyncio.Protocol):
    """An asyncio protocol; `answer` is asked once for each whole request."""

    def __init__(
        self, journal: Journal, answer: Callable[[Received], Reply], open_connections: set[Connection]
    ) -> None:
        self._journal = journal
        self._answer = answer
        self._open_connections = open_connections
        self._reader: RequestReader
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._request: Received | None = None
        """The one that is being answered by the task."""
        self._sent = 0
        """Bytes of its body."""
        self._ended_by_vendor = False
        self._socket: VendorSocket | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._journal.connections += 1
        self._reader = RequestReader(self._journal.connections)
        self._open_connections.add(self)
        self._journal.changed()

    def data_received(self, data: bytes) -> None:
        try:
            if self._socket:
                self._socket.feed(data)
            else:
                self._reader.feed(data)
                self._advance()
        except BadRequestBytes as error:
            self._refuse(error)
        except BadFrames as error:
            self._journal.failures.append(error)
        self._journal.changed()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()
        self._open_connections.discard(self)
        left = self._request or self._reader.cut()
        in_good_order = self._ended_by_vendor or (self._socket and self._socket.closed.is_set())
        if left and not in_good_order:
            self._journal.disconnects.append(Disconnect(request=left, sent=self._sent))
        if self._socket:
            self._socket.lost()
        elif self._task:
            self._task.cancel()
        self._journal.changed()

    async def shut(self) -> None:
        """End it, and what is under way on it, without a note."""
        self._ended_by_vendor = True
        self._transport.abort()
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _advance(self) -> None:
        """Answer the requests that are whole, one after the other."""
        while self._task is None and not self._transport.is_closing():
            request = self._reader.next()
            if request is None:
                if self._reader.continue_wanted():
                    self._transport.write(_CONTINUE)
                return
            self._begin(request)

    def _begin(self, request: Received) -> None:
        self._journal.received(request)
        reply = self._answer(request)
        keep_alive = _keeps_alive(request, reply)
        at_once = whole(reply, keep_alive=keep_alive, bodyless=request.method == "HEAD")
        if at_once is not None and len(at_once) <= _AT_ONCE:
            self._transport.write(at_once)
            if not keep_alive:
                self._transport.close()
            return
        self._request = request
        self._journal.open_streams += 1
        self._task = asyncio.get_running_loop().create_task(self._play(request, reply, keep_alive))

    async def _play(self, request: Received, reply: Reply, keep_alive: bool) -> None:
        try:
            for step in reply.before:
                await self._take(step)
            if reply.session:
                await self._converse(request, reply, reply.session)
            else:
                await self._send(request, reply, keep_alive)
        except _Ended:
            keep_alive = False
        finally:
            self._task = self._request = None
            self._sent = 0
            self._journal.open_streams -= 1
            self._journal.changed()
        if not keep_alive:
            self._transport.close()
        elif not self._socket:
            self.data_received(b"")  # the next request may have come already

    async def _send(self, request: Received, reply: Reply, keep_alive: bool) -> None:
        await self._write(head(reply, keep_alive=keep_alive))
        if request.method == "HEAD":
            return
        for step in reply.steps:
            if isinstance(step, bytes):
                await self._write(framed(reply, step))
                self._sent += len(step)
            else:
                await self._take(step)
        await self._write(end(reply))

    async def _write(self, data: bytes) -> None:
        self._transport.write(data)
        await self._writable.wait()

    async def _take(self, step: Step) -> None:
        """Wait, or end as a fault says."""
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, float | int):
            await asyncio.sleep(step)
        elif step is HANG:
            await asyncio.Event().wait()
        else:
            if step is RESET:
                self._reset()
            raise _Ended

    def _reset(self) -> None:
        held: socket.socket = self._transport.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    async def _converse(self, request: Received, reply: Reply, session: Session) -> None:
        accept = accept_headers(request)
        if accept is None:
            self._refuse(BadRequestBytes(f"{request.method} {request.target} is no WebSocket handshake"))
            raise _Ended
        self._socket = held = VendorSocket(request, self._transport)
        self._journal.sockets.append(held)
        self._transport.write(head(reply.with_headers(*accept), keep_alive=True))
        self.data_received(self._reader.rest())
        try:
            await session(held)
        except SocketClosed:
            pass
        except Exception as error:  # noqa: BLE001 - a test's own code; told when the vendor is closed
            self._journal.failures.append(error)
            held.close(1011)
        held.close()
        await held.closed.wait()

    def _refuse(self, error: BadRequestBytes) -> None:
        """Say 400 and note that what came is not HTTP."""
        self._journal.failures.append(error)
        self._ended_by_vendor = True
        self._transport.write(head(Reply(status=400), keep_alive=False))
        self._transport.close()


def _keeps_alive(request: Received, reply: Reply) -> bool:
    if reply.framing in (Framing.CLOSE, Framing.RAW) or request.version != "1.1":
        return False
    told = [*request.all("connection"), *(value for name, value in reply.headers if name.lower() == "connection")]
    return not any("close" in value.lower() for value in told)
