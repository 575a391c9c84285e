"""The gRPC server of one processor process, on a Unix socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from processor.extproc.grpc_connection import Connection
from processor.extproc.servicer import Servicer


@dataclass(slots=True)
class Server:
    """A listening server."""

    listener: asyncio.AbstractServer
    connections: set[Connection] = field(default_factory=set)

    async def stop(self, grace: float) -> None:
        """Take no more connections, let streams finish for `grace` seconds, and close."""
        self.listener.close()
        if tasks := [task for connection in self.connections for task in connection.tasks]:
            await asyncio.wait(tasks, timeout=grace)
        for connection in list(self.connections):
            connection.shut()
        await self.listener.wait_closed()


async def start(servicer: Servicer, socket: Path) -> Server:
    """Listen on `socket`, replacing one a killed process left behind."""
    socket.unlink(missing_ok=True)  # noqa: ASYNC240 - once, before anything is served
    connections: set[Connection] = set()
    listener = await asyncio.get_running_loop().create_unix_server(
        lambda: Connection(servicer.serve, connections), str(socket), backlog=1024
    )
    return Server(listener, connections)
