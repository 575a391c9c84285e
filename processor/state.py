"""The gateway's folder: what it keeps between runs, and what its processes meet in."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

_SOCKET_PATH_LIMIT = 100
"""Bytes; the kernel takes 107 for a Unix socket's path."""


@dataclass(frozen=True, slots=True)
class State:
    """Paths below the state folder."""

    folder: Path

    @property
    def envoy(self) -> Path:
        """Envoy's rendered files."""
        return self.folder / "envoy"

    @property
    def access_log(self) -> Path:
        """One JSON line for each finished request, written by Envoy."""
        return self.folder / "access.jsonl"

    @property
    def observed(self) -> Path:
        """What workers saw that Envoy's line cannot carry."""
        return self.folder / "observed.jsonl"

    @property
    def envoy_log(self) -> Path:
        """Envoy's own log."""
        return self.folder / "envoy.log"

    @property
    def admin_socket(self) -> Path:
        """Envoy's admin interface, unless it has a port."""
        return self.sockets / "admin.sock"

    @property
    def sockets(self) -> Path:
        """The processes' Unix sockets: in the folder or, where its path is too long, in a short one named after it."""
        here = self.folder / "run"
        if len(os.fsencode(here)) + len("/worker-00.sock") <= _SOCKET_PATH_LIMIT:
            return here
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ai-gateway-{os.getuid()}-{name}"

    def worker_socket(self, number: int) -> Path:
        """Where worker `number` listens."""
        return self.sockets / f"worker-{number}.sock"

    def admin_api_socket(self, number: int) -> Path:
        """Where worker `number` answers questions about itself."""
        return self.sockets / f"admin-{number}.sock"

    @property
    def loopback_socket(self) -> Path:
        """Where Envoy takes the workers' own calls to vendors."""
        return self.sockets / "loopback.sock"

    @property
    def demo_socket(self) -> Path:
        """Where the demo vendor listens."""
        return self.sockets / "demo.sock"

    def create(self) -> None:
        """Make the folders, for this user only: keys and prompts' paths are nobody else's business."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.sockets.mkdir(parents=True, exist_ok=True, mode=0o700)

    def gateway_key(self) -> str:
        """The key of a gateway without a configuration: made once, kept."""
        path = self.folder / "key"
        if path.exists() and (key := path.read_text("ascii").strip()):
            return key
        key = f"sk-gw-{secrets.token_urlsafe(24)}"
        path.touch(mode=0o600)
        path.write_text(key + "\n", "ascii")
        return key


def default_folder() -> Path:
    """`$GATEWAY_STATE`, or `.gateway` here."""
    return Path(os.environ.get("GATEWAY_STATE", ".gateway"))
