"""A closed-loop load generator over loopback, bounded in requests, in time and in errors.

Each connection sends a request, waits for the whole answer, sends the next. Callbacks only: no task and no future
is made for a request, so that the generator costs about as little as the fake vendor.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import cast

from bench.http1 import Reader, header

GRACE = 10.0
"""Seconds an answer may take after the run's time is up; then it counts as an error."""

MAX_ERRORS = 20
"""A run that failed this often is over: it measures nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What every connection sends, and how to tell that the answer is right."""

    wire: bytes
    expect: bytes
    """Must stand in the body of a right answer."""
    events: int = 0
    """Server-sent events a right answer has at least, `[DONE]` included; 0 for a whole answer."""


def post(
    path: str, body: bytes, headers: Mapping[str, str], *, expect: bytes, events: int = 0, host: str = "127.0.0.1"
) -> Request:
    """Build a JSON request."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"content-length: {len(body)}", "", ""]
    return Request(wire="\r\n".join(lines).encode() + body, expect=expect, events=events)


@dataclass(slots=True)
class Result:
    """What one run saw. Times are in nanoseconds, right answers only."""

    latency: array[int] = field(default_factory=lambda: array("q"))
    first: array[int] = field(default_factory=lambda: array("q"))
    """From sending the request to the first bytes of the body."""
    events: int = 0
    frames: int = 0
    """HTTP chunks the events came in: fewer, if somebody on the way put events together."""
    errors: Counter[str] = field(default_factory=Counter)
    elapsed: int = 0

    @property
    def requests(self) -> int:
        """Right answers."""
        return len(self.latency)


class _Run:
    """The bounds of one run, shared by its connections."""

    def __init__(self, request: Request, count: int, connections: int) -> None:
        self.request = request
        self.result = Result()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = count
        self._active = connections

    def take(self) -> bool:
        """Whether another request may be sent."""
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def stop(self) -> None:
        self._left = 0

    def fail(self, reason: str) -> None:
        self.result.errors[reason] += 1
        if self.result.errors.total() >= MAX_ERRORS:
            self.stop()

    def leave(self) -> None:
        self._active -= 1
        if not self._active and not self.finished.done():
            self.finished.set_result(None)


class _Connection(asyncio.Protocol):
    """One keep-alive connection, opened again whenever the other side has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._run: _Run | None = None
        self._opening: asyncio.Task[None] | None = None
        self._waiting = False
        self._sent = 0
        self._first = 0
        self._events = 0
        self._tail = b""
        self._right = False

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self._port)

    def close(self) -> None:
        """Drop the connection and whatever is under way on it."""
        self._run = None
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def start(self, run: _Run) -> None:
        self._run = run
        self._send()

    def give_up(self) -> None:
        """Count what is still under way as an error."""
        if self._run is not None:
            self._run.fail("no answer in time")
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None
        if self._waiting:
            self._failed("connection closed")

    def data_received(self, data: bytes) -> None:
        run = self._run
        if run is None or not self._waiting:
            return
        try:
            body = self._reader.feed(data)
        except ValueError as error:
            self._failed(str(error))
            return
        if body:
            self._body(run.request, body)
        if self._reader.done:
            self._answered(run)

    def _body(self, request: Request, body: bytes) -> None:
        if not self._first:
            self._first = perf_counter_ns()
        self._right = self._right or request.expect in self._tail + body
        if request.events:
            self._events += body.count(b"\n\n") + (self._tail[-1:] == b"\n" == body[:1])
        self._tail = (self._tail + body)[-len(request.expect) :]

    def _answered(self, run: _Run) -> None:
        now = perf_counter_ns()
        status = self._reader.head[9:12]
        if status != b"200":
            run.fail(f"status {status.decode(errors='replace')}")
        elif not self._right:
            run.fail("an answer without what it must hold")
        elif self._events < run.request.events:
            run.fail(f"{self._events} events of {run.request.events}")
        else:
            run.result.latency.append(now - self._sent)
            run.result.first.append(self._first - self._sent)
            run.result.events += self._events
            run.result.frames += self._reader.frames
        self._waiting = False
        if self._transport is not None and header(self._reader.head.lower(), b"connection") == b"close":
            self._transport.abort()
        self._send()

    def _failed(self, reason: str) -> None:
        """The connection is of no more use."""
        self._waiting = False
        if self._run is None:
            return
        self._run.fail(reason)
        if self._transport is not None:
            self._transport.abort()
        self._send()

    def _send(self) -> None:
        run = self._run
        if run is None:
            return
        if self._transport is None or self._transport.is_closing():
            self._opening = asyncio.get_running_loop().create_task(self._reopen(run))
        elif not run.take():
            self._run = None
            run.leave()
        else:
            self._reader.reset()
            self._first = self._events = 0
            self._tail = b""
            self._right = False
            self._waiting = True
            self._sent = perf_counter_ns()
            self._transport.write(run.request.wire)

    async def _reopen(self, run: _Run) -> None:
        try:
            await self.open()
        except OSError as error:
            # Nobody listens any more: this connection takes no further part.
            self._run = None
            run.fail(f"cannot connect: {error.strerror}")
            run.leave()
            return
        self._send()


class Clients:
    """A number of connections to one port, kept open from run to run."""

    def __init__(self, connections: list[_Connection]) -> None:
        self._connections = connections

    @classmethod
    async def open(cls, port: int, connections: int) -> Clients:
        """Connect; raises OSError if nobody listens."""
        opened = [_Connection(port) for _ in range(connections)]
        for connection in opened:
            await connection.open()
        return cls(opened)

    async def run(self, request: Request, *, count: int, seconds: float, grace: float = GRACE) -> Result:
        """Send up to `count` requests for at most `seconds`, and wait at most `grace` for the last answers."""
        run = _Run(request, count, len(self._connections))
        timer = asyncio.get_running_loop().call_later(seconds, run.stop)
        start = perf_counter_ns()
        for connection in self._connections:
            connection.start(run)
        try:
            async with asyncio.timeout(seconds + grace):
                await run.finished
        except TimeoutError:
            for connection in self._connections:
                connection.give_up()
        finally:
            timer.cancel()
        run.result.elapsed = perf_counter_ns() - start
        return run.result

    def close(self) -> None:
        """Drop every connection."""
        for connection in self._connections:
            connection.close()
