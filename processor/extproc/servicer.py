"""One coroutine a stream: receives, asks the exchange, sends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from processor import names
from processor.errors import GatewayError
from processor.exchange.messages import Abort, Action, Event, RequestBody, RequestHeaders, Respond
from processor.extproc import codec
from processor.extproc.grpc_connection import INTERNAL, UNIMPLEMENTED, Stream
from processor.pb.external_processor_pb2 import ProcessingRequest
from processor.schema.error import error_body

log = logging.getLogger(__name__)


class Exchange(Protocol):
    """One HTTP exchange as one filter sees it."""

    done: bool
    """Whether nothing more is wanted: the gRPC stream ends and the rest flows by untouched."""

    @property
    def deadline(self) -> float | None:
        """When, in the event loop's clock, `expire` is due if nothing has come before; None for never."""
        ...

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Take Envoy's next message and give the answers to it, in order."""
        ...

    async def expire(self) -> tuple[Action, ...]:
        """The deadline has passed: the answers to give now."""
        ...

    def close(self) -> None:
        """Account for what was seen; called once, however the stream ends."""
        ...


ExchangeFactory = Callable[[str], Exchange]
"""Makes the exchange of a request id."""


class Servicer:
    """Serves the streams of every filter; which one it is stands in the stream's initial metadata."""

    def __init__(self, factories: Mapping[str, ExchangeFactory]) -> None:
        self._factories = factories

    async def serve(self, stream: Stream) -> None:
        """Serve one stream to its end."""
        factory = self._factories.get(stream.metadata.get(names.STREAM_FILTER, ""))
        if factory is None:
            stream.abort(UNIMPLEMENTED, f"set {names.STREAM_FILTER} to a filter's name")
        exchange = factory(stream.metadata.get(names.STREAM_REQUEST_ID, ""))
        try:
            await _converse(exchange, stream)
        finally:
            exchange.close()


async def _converse(exchange: Exchange, stream: Stream) -> None:
    while True:
        if exchange.deadline is not None and not await stream.readable(until=exchange.deadline):
            if not await _say(exchange.expire(), exchange, stream, None):
                return
            continue
        message = await stream.read()
        if message is None or not await _answer(exchange, stream, message):
            return


async def _answer(exchange: Exchange, stream: Stream, message: ProcessingRequest) -> bool:
    """Answer one message; say whether to go on."""
    event = codec.decode(message)
    return event is None or await _say(exchange.receive(event), exchange, stream, event)


async def _say(
    answer: Coroutine[Any, Any, tuple[Action, ...]], exchange: Exchange, stream: Stream, event: Event | None
) -> bool:
    """Say what an exchange answers to an event, or to its deadline; whether to go on."""
    stream.working = True
    try:
        actions = await answer
    except Exception:
        log.exception("exchange failed on %s", type(event).__name__ if event else "its deadline")
        _fail(stream, event)
        return False
    finally:
        stream.working = False
    _write(stream, actions, event)
    return not exchange.done


def _write(stream: Stream, actions: tuple[Action, ...], event: Event | None) -> None:
    for action in actions:
        if isinstance(action, Abort):
            stream.abort(INTERNAL, "the vendor broke off")
        stream.write(codec.encode(action, event))


def _fail(stream: Stream, event: Event | None) -> None:
    """Answer a bug with a fixed text while that is still possible; else let Envoy end the exchange."""
    if not isinstance(event, RequestHeaders | RequestBody):
        stream.abort(INTERNAL, "a bug")
    body = error_body(GatewayError("The gateway failed; the request id names it in its log."))
    reply = Respond(500, body, (("content-type", "application/json"),), {"error": "internal_error"})
    stream.write(codec.encode(reply, event))
