"""A vendor for tests: an HTTP server that keeps what it received exactly as it came, and answers as it is told.

    async with FakeVendor() as vendor:
        vendor.script("/v1/chat/completions", Reply.json({"error": {}}, status=503), chat_reply("Hi"))
        ...                                             # point something at vendor.url
        assert vendor.last.header("authorization") == "Bearer sk-test"

Replies are used in turn and the last one again and again. Requests that no script matches go to
`vendor.default`. What breaks HTTP or the WebSocket protocol, a request without a script, and an
assertion that fails inside a callable reply or a session, all fail the test when the vendor is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Self

from tests.support.fake_vendor_connection import Connection
from tests.support.fake_vendor_http import Framing, Headers, Received
from tests.support.fake_vendor_journal import Disconnect, Journal
from tests.support.fake_vendor_openai import (
    chat_chunks,
    chat_completion,
    chat_reply,
    chat_stream,
    openai_vendor_default,
)
from tests.support.fake_vendor_replies import CLOSE, HANG, RESET, Answer, Fault, Reply, Session, Step, sse_event
from tests.support.fake_vendor_websocket import Message, SocketClosed, VendorSocket, echo

__all__ = [
    "CLOSE",
    "HANG",
    "RESET",
    "Answer",
    "Disconnect",
    "FakeVendor",
    "Fault",
    "Framing",
    "Headers",
    "Message",
    "Received",
    "Reply",
    "Script",
    "Session",
    "SocketClosed",
    "Step",
    "VendorSocket",
    "chat_chunks",
    "chat_completion",
    "chat_reply",
    "chat_stream",
    "echo",
    "openai_vendor_default",
    "sse_event",
    "unscripted",
]

_WITHIN = 10.0
"""Seconds a test waits for what ought to happen at once: room for a machine that is busy."""
_BACKLOG = 1024


def unscripted(request: Received) -> Reply:
    """The default until another is set: refuse, and fail the test."""
    raise AssertionError(f"no script for {request.method} {request.target}")


@dataclass(slots=True, kw_only=True)
class Script:
    """Which requests get which replies."""

    path: str | None
    method: str | None
    when: Callable[[Received], bool] | None
    replies: tuple[Answer, ...]
    requests: list[Received] = field(default_factory=list)
    """Those this script has answered."""

    def matches(self, request: Received) -> bool:
        """Whether it is for this request."""
        return (
            self.path in (None, request.path)
            and self.method in (None, request.method)
            and (self.when is None or self.when(request))
        )

    def take(self, request: Received) -> Answer:
        """The next reply."""
        self.requests.append(request)
        return self.replies[min(len(self.requests), len(self.replies)) - 1]


class FakeVendor:
    """A scripted vendor on 127.0.0.1; use it as an async context manager."""

    def __init__(self, default: Answer = unscripted, *, port: int = 0, ssl: SSLContext | None = None) -> None:
        self.default = default
        """Answers what no script matches."""
        self._first_default = default
        self._scripts: list[Script] = []
        self._journal = Journal()
        self._connections: set[Connection] = set()
        self._port = port
        self._ssl = ssl
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._connection, "127.0.0.1", self._port, ssl=self._ssl, backlog=_BACKLOG
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        await self.close()
        if kind is None:
            self.verify()

    async def close(self) -> None:
        """Stop listening, and cut every connection."""
        if self._server:
            self._server.close()
            await asyncio.gather(*(connection.shut() for connection in self._connections))
            await self.until(lambda: not self._connections, what="connections closed")
            await self._server.wait_closed()

    def script(
        self,
        path: str | None,
        *replies: Answer,
        method: str | None = None,
        when: Callable[[Received], bool] | None = None,
    ) -> Script:
        """Answer requests for `path` (without its query; None: any) with these replies in turn, the last one for ever.

        The newest script that matches is used, so a test can overrule its fixture.
        """
        assert replies, "a script needs a reply"
        script = Script(path=path, method=method, when=when, replies=replies)
        self._scripts.append(script)
        return script

    def reset(self) -> None:
        """Forget scripts, requests, hang-ups and failures, and take the first default again; connections stay."""
        self._scripts.clear()
        self._journal.clear()
        self.default = self._first_default

    def verify(self) -> None:
        """Fail if anything was wrong with what came.

        Raises:
            AssertionError: with the first failure as its cause, and all of them in its text.
        """
        if failures := self._journal.failures:
            raise AssertionError(f"the vendor met {len(failures)} failures: {failures}") from failures[0]

    @property
    def host(self) -> str:
        """Host and port, as a Host header has them."""
        return f"127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return self._port

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, or https."""
        return f"{'https' if self._ssl else 'http'}://{self.host}"

    @property
    def requests(self) -> list[Received]:
        """The whole requests so far, oldest first; at most the last 20,000."""
        return list(self._journal.requests)

    @property
    def last(self) -> Received:
        """The latest request."""
        assert self._journal.requests, "no request has come"
        return self._journal.requests[-1]

    @property
    def count(self) -> int:
        """How many requests have come."""
        return self._journal.count

    @property
    def disconnects(self) -> list[Disconnect]:
        """Clients that left before their answer, or their own body, had ended."""
        return self._journal.disconnects

    @property
    def sockets(self) -> list[VendorSocket]:
        """Every WebSocket that was accepted, closed ones too."""
        return self._journal.sockets

    @property
    def failures(self) -> list[Exception]:
        """What `verify` will fail for; a test that expects one clears it."""
        return self._journal.failures

    @property
    def open_streams(self) -> int:
        """Answers under way: those with waits in them or too large to go out at once, and WebSockets."""
        return self._journal.open_streams

    @property
    def connections(self) -> int:
        """How many connections were ever made."""
        return self._journal.connections

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    async def until(self, condition: Callable[[], bool], *, within: float = _WITHIN, what: str = "") -> None:
        """Wait until a condition over this vendor holds; it is looked at whenever something has happened here.

        Raises:
            TimeoutError: it did not within so many seconds.
        """
        await self._journal.until(condition, within=within, what=what or "the condition")

    async def wait_for(self, count: int, *, within: float = _WITHIN) -> list[Received]:
        """Wait until so many requests have come in all; return them."""
        await self.until(lambda: self.count >= count, within=within, what=f"{count} requests")
        return self.requests

    async def wait_for_disconnects(self, count: int, *, within: float = _WITHIN) -> list[Disconnect]:
        """Wait until so many clients have left too early; return what they left."""
        await self.until(lambda: len(self.disconnects) >= count, within=within, what=f"{count} disconnects")
        return self.disconnects

    async def wait_for_sockets(self, count: int, *, within: float = _WITHIN) -> list[VendorSocket]:
        """Wait until so many WebSockets have been accepted; return them."""
        await self.until(lambda: len(self.sockets) >= count, within=within, what=f"{count} WebSockets")
        return self.sockets

    def _connection(self) -> Connection:
        return Connection(self._journal, self._answer, self._connections)

    def _answer(self, request: Received) -> Reply:
        script = next((script for script in reversed(self._scripts) if script.matches(request)), None)
        answer = script.take(request) if script else self.default
        if isinstance(answer, Reply):
            return answer
        try:
            return answer(request)
        except Exception as error:  # noqa: BLE001 - a test's own code; told by `verify`
            self.failures.append(error)
            return Reply.text(f"the fake vendor failed: {error}", status=500)
