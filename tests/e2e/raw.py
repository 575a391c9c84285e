"""An HTTP/1.1 client that sends and shows bytes as they are."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer's head and body, unframed."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines if line)]


async def exchange(port: int, request: bytes) -> RawAnswer:
    """Send a request's bytes, read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        await writer.drain()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
        return RawAnswer(head[:-4], await asyncio.wait_for(_body(reader, head.lower()), 15))
    finally:
        writer.close()
        await writer.wait_closed()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"\r\ntransfer-encoding: chunked" in head:
        body = b""
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        return body
    _, found, length = head.partition(b"\r\ncontent-length: ")
    return await reader.readexactly(int(length.split(b"\r\n")[0])) if found else b""
