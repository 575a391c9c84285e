"""Calls to vendors by way of Envoy: its loopback listener takes them to any of its clusters, pools and TLS included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from processor import names
from processor.ports import Call, CallError, Reply

if TYPE_CHECKING:
    import aiohttp

_PIECE = 64 * 1024
"""Bytes read at once."""


class Loopback:
    """The Caller over Envoy's Unix socket. One for each worker, in its event loop."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None

    async def send(self, call: Call) -> Reply:
        """Send a call and read its answer.

        Raises:
            CallError: Envoy could not be reached, or the answer was cut or is larger than the call's limit.
        """
        import aiohttp  # most workers never make a call, and it is 10 MB

        session = self._session = self._session or self._open()
        headers = {"host": call.host, names.CLUSTER_HEADER: call.cluster, **dict(call.headers)}
        url = f"http://loopback{call.path}"
        from yarl import URL

        try:
            async with session.request(
                call.method, URL(url, encoded=True), headers=headers, data=call.body or None, allow_redirects=False
            ) as answer:
                return Reply(answer.status, await _read(answer, call.limit))
        except aiohttp.ClientError as error:
            raise CallError(f"A further call to the vendor failed ({type(error).__name__}).") from None

    async def close(self) -> None:
        """Close the connections to Envoy."""
        if self._session:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self._socket), limit=0),
            timeout=aiohttp.ClientTimeout(total=None),  # Envoy's timeouts, and the exchange's own, are the limits
            auto_decompress=True,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )


async def _read(answer: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > limit:
            raise CallError(f"A further answer of the vendor is larger than {limit} bytes.")
    return bytes(body)
