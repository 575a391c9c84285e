"""The demo vendor's HTTP server: OpenAI's paths, with and without `/v1`, on a Unix socket or on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import ClientConnectionResetError, web

from processor.demo import chat, embeddings, images
from processor.demo.chat_request import ChatRequest
from processor.errors import ClientError, GatewayError, MalformedRequest
from processor.schema.error import error_body
from processor.wire.json import JSON, encode

DELAY = 0.015
"""Seconds between the chunks of a stream: about what a quick model takes for a token."""

_BODY_LIMIT = 32 * 1024 * 1024  # what the gateway's listener takes
_STOP_WITHIN = 0.3  # seconds for answers that are under way; streams are cut
_JSON_PATH = re.compile(r"at `\$\.?(.*?)`")

_DELAY_KEY = web.AppKey("delay", float)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Request = TypeVar("_Request", bound=msgspec.Struct)


async def serve(
    at: Path | int,
    *,
    stop: asyncio.Event,
    delay: float = DELAY,
    listening: Callable[[str], None] | None = None,
) -> None:
    """Serve on a Unix socket, or on a port of 127.0.0.1 (0: any), until `stop` is set.

    Args:
        at: the socket's path, which is removed again in the end, or the port.
        stop: set by the caller; answers that are under way are cut after 0.3 s.
        delay: seconds between the chunks of a stream.
        listening: called once with the URL when connections are taken.
    """
    runner = demo_runner(delay)
    await runner.setup()
    try:
        await (web.TCPSite(runner, "127.0.0.1", at) if isinstance(at, int) else web.UnixSite(runner, at)).start()
        if listening:
            address = runner.addresses[0]
            listening(address if isinstance(address, str) else f"http://{address[0]}:{address[1]}")
        await stop.wait()
        _remove(at)
    finally:
        await runner.cleanup()


def demo_runner(delay: float = DELAY) -> web.AppRunner:
    """The routes, ready to be given a place to listen."""
    app = web.Application(middlewares=[_errors], client_max_size=_BODY_LIMIT)
    app[_DELAY_KEY] = delay
    app.on_response_prepare.append(_mark)
    for method, path, handler in (
        ("GET", "/models", _models),
        ("POST", "/chat/completions", _chat),
        ("POST", "/embeddings", _embeddings),
        ("POST", "/images/generations", _images),
    ):
        app.router.add_route(method, path, handler)
        app.router.add_route(method, f"/v1{path}", handler)
    return web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_WITHIN)


def _remove(at: Path | int) -> None:
    if isinstance(at, Path):
        at.unlink(missing_ok=True)


async def _chat(request: web.Request) -> web.StreamResponse:
    asked = read(await request.read(), ChatRequest)
    answer = chat.answer(asked, id=f"chatcmpl-demo-{secrets.token_hex(8)}", created=int(time.time()))
    if not asked.stream:
        return _json(chat.whole(answer))
    response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
    await response.prepare(request)
    pause = 0.0
    # A client that leaves between two chunks cancels this coroutine; one that leaves in a write is met here.
    with contextlib.suppress(ClientConnectionResetError):
        for chunk in chat.chunks(answer, include_usage=asked.include_usage):
            await asyncio.sleep(pause)
            await response.write(b"data: " + encode(chunk) + b"\n\n")
            pause = request.app[_DELAY_KEY]
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
    return response


async def _embeddings(request: web.Request) -> web.StreamResponse:
    return _json(embeddings.embeddings(read(await request.read(), embeddings.EmbeddingsRequest)))


async def _images(request: web.Request) -> web.StreamResponse:
    return _json(images.images(read(await request.read(), images.ImagesRequest), created=int(time.time())))


async def _models(_request: web.Request) -> web.StreamResponse:
    models = (chat.MODEL, embeddings.MODEL, images.MODEL)
    listed = [{"id": model, "object": "model", "created": 0, "owned_by": "demo"} for model in models]
    return _json({"object": "list", "data": listed})


def read(body: bytes, form: type[_Request]) -> _Request:
    """Read a request's body.

    Raises:
        MalformedRequest: it is not JSON, or a field is not what the endpoint takes.
    """
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        found = _JSON_PATH.search(str(error))
        raise MalformedRequest(f"{error}.", param=(found[1] or None) if found else None) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedRequest(f"The body is not JSON: {error}.") from None


async def _mark(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["x-demo"] = "true"


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Tell every error in OpenAI's shape."""
    try:
        return await handler(request)
    except GatewayError as error:
        return _refusal(error)
    except web.HTTPException as error:
        message = f"The demo vendor does not answer {request.method} {request.path}: {error.reason.lower()}."
        return _refusal(ClientError(message, status=error.status, code=error.reason.lower().replace(" ", "_")))


def _refusal(error: GatewayError) -> web.Response:
    return web.Response(body=error_body(error), status=error.status, content_type="application/json")


def _json(value: JSON) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")
