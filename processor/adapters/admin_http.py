"""A worker's administration over HTTP, on a Unix socket: JSON in, JSON out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from processor.errors import GatewayError
from processor.schema.error import error_body
from processor.wire.json import encode

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, str], bytes], Awaitable[object]]
"""Takes the path's and the query's parameters, and the body; returns what becomes JSON, or raises GatewayError."""

_BACKLOG = 16
_BODY = 32 * 1024 * 1024
"""Bytes of a body: those of a request that is to be explained."""


class AdminServer:
    """Listens at once, and loads a server with the first connection: most workers are never asked."""

    def __init__(self, path: Path, routes: Mapping[tuple[str, str], Answer]) -> None:
        self._path = path
        self._routes = routes
        """By method and path; `{name}` in a path is a parameter."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._runner: web.AppRunner | None = None
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._socket.setblocking(False)
        self._socket.bind(str(self._path))
        self._path.chmod(0o600)
        self._socket.listen(_BACKLOG)
        asyncio.get_running_loop().add_reader(self._socket, self._first)

    def _first(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._starting = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        from aiohttp import web

        app = web.Application(client_max_size=_BODY)
        for (method, path), answer in self._routes.items():
            app.router.add_route(method, path, _handler(answer))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket, backlog=_BACKLOG).start()

    async def close(self) -> None:
        """Stop listening."""
        if self._starting is None:
            asyncio.get_running_loop().remove_reader(self._socket)
        else:
            await self._starting
        if self._runner:
            await self._runner.cleanup()
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def _handler(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        status, body = 200, b""
        if "origin" in request.headers:  # a page in somebody's browser, which loopback does not keep out
            return web.Response(status=403, text="not for browsers")
        try:
            parameters = {**request.query, **request.match_info}
            body = encode(await answer(parameters, await request.read()))
        except GatewayError as error:
            status, body = error.status, error_body(error)
        except web.HTTPException:
            raise
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            status, body = 500, error_body(GatewayError("The gateway failed; its log says why."))
        return web.Response(status=status, body=body + b"\n", content_type="application/json")

    return handle
