"""A TCP proxy on loopback that can be made slow, or to swallow everything."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

_PIECE = 65_536


class SlowProxy:
    """Forwards to a port. `delay` (seconds) holds back each piece of the server's answers; `dead` all of them.

    `cut`: the next answer is not given, and its connection closed.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.delay = 0.0
        self.dead = False
        self.cut = False

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, onward}
        try:
            await asyncio.gather(self._pump(reader, onward, slow=False), self._pump(behind, writer, slow=True))
        finally:
            self._writers -= {writer, onward}
            writer.close()
            onward.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while piece := await reader.read(_PIECE):
                if slow and self.delay:
                    await asyncio.sleep(self.delay)
                if slow and self.dead:
                    continue
                if slow and self.cut:
                    self.cut = False
                    break
                writer.write(piece)
                await writer.drain()
        writer.close()
