"""One coroutine a stream: receives, asks the exchange, sends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grpc

from processor import names
from processor.errors import GatewayError
from processor.exchange.messages import Action, Event, RequestBody, RequestHeaders, Respond
from processor.extproc import codec
from processor.schema.error import error_body

log = logging.getLogger(__name__)


class Exchange(Protocol):
    """One HTTP exchange as one filter sees it."""

    done: bool
    """Whether nothing more is wanted: the gRPC stream ends and the rest flows by untouched."""
    deadline: float | None
    """When, in the event loop's clock, `expire` is due if nothing has come before; None for never."""

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Take Envoy's next message and give the answers to it, in order."""
        ...

    def expire(self) -> tuple[Action, ...]:
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

    async def process(self, _: object, context: Any) -> None:
        """Serve one stream to its end."""
        metadata = dict(context.invocation_metadata())
        factory = self._factories.get(str(metadata.get(names.STREAM_FILTER)))
        if factory is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"set {names.STREAM_FILTER} to a filter's name")
            return
        exchange = factory(str(metadata.get(names.STREAM_REQUEST_ID, "")))
        try:
            await _converse(exchange, context)
        finally:
            exchange.close()


async def _converse(exchange: Exchange, context: Any) -> None:
    reading: asyncio.Task[Any] | None = None
    while True:
        if exchange.deadline is None:
            message = await (reading or context.read())
        else:
            # The same read goes on after the deadline: a message that comes late is neither lost nor doubled.
            reading = reading or asyncio.ensure_future(context.read())
            await asyncio.wait({reading}, timeout=exchange.deadline - asyncio.get_running_loop().time())
            if not reading.done():
                await _write(context, exchange.expire(), None)
                continue
            message = reading.result()
        reading = None
        if message is grpc.aio.EOF or not await _answer(exchange, context, message):
            return


async def _answer(exchange: Exchange, context: Any, message: Any) -> bool:
    """Answer one message; say whether to go on."""
    event = codec.decode(message)
    if event is None:
        return True
    try:
        actions = await exchange.receive(event)
    except Exception as error:
        log.exception("exchange failed on %s", type(event).__name__)
        await _fail(context, event, error)
        return False
    await _write(context, actions, event)
    return not exchange.done


async def _write(context: Any, actions: tuple[Action, ...], event: Event | None) -> None:
    for action in actions:
        await context.write(codec.encode(action, event))


async def _fail(context: Any, event: Event, error: Exception) -> None:
    """Answer a bug with a fixed text while that is still possible; else let Envoy end the exchange."""
    if isinstance(event, RequestHeaders | RequestBody):
        body = error_body(GatewayError("The gateway failed; the request id names it in its log."))
        reply = Respond(500, body, (("content-type", "application/json"),), {"error": "internal_error"})
        await context.write(codec.encode(reply, event))
    else:
        await context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
