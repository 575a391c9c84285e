"""A client that is nothing but a socket: it sends bytes, and sees exactly what comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.support.fake_vendor import Answer, FakeVendor

WITHIN = 10.0

GET = b"GET / HTTP/1.1\r\nHost: vendor\r\n\r\n"


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, end: bytes) -> bytes:
        """Everything up to and with `end`."""
        return await asyncio.wait_for(self.reader.readuntil(end), WITHIN)

    async def exactly(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), WITHIN)

    async def rest(self) -> bytes:
        """Everything until the vendor ends the connection."""
        return await asyncio.wait_for(self.reader.read(), WITHIN)

    def leave(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(vendor: FakeVendor) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def failing(default: Answer, *, match: str) -> AsyncIterator[FakeVendor]:
    """A vendor that must fail its test, for this reason."""
    async with FakeVendor(default) as vendor:
        yield vendor
        with pytest.raises(AssertionError, match=match):
            vendor.verify()
        vendor.failures.clear()
