"""What a fake vendor has seen: requests, hang-ups, sockets, mistakes; and a way to wait until it has seen enough."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_websocket import VendorSocket

_KEPT = 20_000
"""Requests that are remembered; a load test sends half as many, of a few KiB each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """A client that left before its answer had ended."""

    request: Received
    """Not `complete` when the client left before its own body had ended."""
    sent: int
    """Bytes of the answer's body that were sent until then."""


@dataclass(slots=True)
class Journal:
    """The vendor's memory; connections write it, tests read it."""

    requests: deque[Received] = field(default_factory=lambda: deque(maxlen=_KEPT))
    count: int = 0
    """All requests, also those no longer remembered."""
    disconnects: list[Disconnect] = field(default_factory=list)
    sockets: list[VendorSocket] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    connections: int = 0
    """All connections ever taken."""
    open_streams: int = 0
    """Answers under way: those that wait, and WebSockets."""
    _waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = field(default_factory=list)

    def received(self, request: Received) -> None:
        """Note a whole request."""
        self.requests.append(request)
        self.count += 1

    def changed(self) -> None:
        """Look whether somebody waits for what is now true; connections call it after everything that happens."""
        if not self._waiting:
            return
        for condition, future in self._waiting:
            if not future.done() and condition():
                future.set_result(None)

    def clear(self) -> None:
        """Forget everything but what goes on now."""
        for notes in (self.requests, self.disconnects, self.sockets, self.failures):
            notes.clear()
        self.count = 0

    async def until(self, condition: Callable[[], bool], *, within: float, what: str) -> None:
        """Wait until a condition over the journal holds.

        Raises:
            TimeoutError: it did not within so many seconds; the text tells what there was instead.
        """
        if condition():
            return
        waiting = (condition, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await asyncio.wait_for(waiting[1], within)
        except TimeoutError:
            raise TimeoutError(f"not within {within} s: {what}; {self}") from None
        finally:
            self._waiting.remove(waiting)

    def __str__(self) -> str:
        last = ", ".join(f"{request.method} {request.target}" for request in list(self.requests)[-5:])
        return (
            f"{self.count} requests (last: {last or 'none'}), {self.open_streams} open streams, "
            f"{len(self.disconnects)} disconnects, failures: {self.failures}"
        )
