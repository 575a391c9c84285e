"""A stream that may have to end before the vendor's does: its bytes go by, and its end is made here.

Envoy lets go of a vendor whose body has not ended only if a filter on the listener's side ends the response. One on the
vendor's side may end it too, but the vendor's connection then stays taken, with nobody left to read from it.
"""

from __future__ import annotations

from collections.abc import Callable

from processor.exchange.ledger import Ending, Ledger
from processor.exchange.messages import Abort, Action, EndTrailers, Event, ResponseBody, ResponseTrailers, Send


class RelayExchange:
    """The client's bytes as they came, up to the end that its plan may say; `deadline` is when that is due."""

    def __init__(self, request_id: str, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._plan = ledger.get(request_id)
        self._clock = clock
        self._passed = 0
        self.deadline: float | None = None
        self.done = False

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Pass a piece on."""
        match event:
            case ResponseBody(body, ended):
                self._passed += len(body)
                return self._ended(body) if ended or self._is_last() else (Send(body),)
            case ResponseTrailers():
                self.done = True
                return (EndTrailers(),)
            case _:
                return ()

    async def expire(self) -> tuple[Action, ...]:
        """The vendor has had its time to end."""
        return self._ended(b"")

    def close(self) -> None:
        """Nothing is held."""

    @property
    def _ending(self) -> Ending | None:
        return self._plan.ending if self._plan else None

    def _ended(self, body: bytes) -> tuple[Action, ...]:
        self.done = True
        if self._ending and self._ending.broken:
            return (Send(body), Abort())
        return (Send(body, end_of_stream=True),)

    def _is_last(self) -> bool:
        ending = self._ending
        if ending is None or self._passed < ending.after:
            return False
        self.deadline = ending.at
        return ending.at <= self._clock()
