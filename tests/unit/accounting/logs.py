"""Lines as Envoy and the workers write them, and writers that behave as they do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from processor.wire.json import encode

PROVIDER_COUNT = {"usage_source": "provider", "input_tokens": 10.0, "output_tokens": 5.0}


def access(request_id: str | None = "r1", /, **changes: Any) -> bytes:
    """A line of Envoy's access log; its keys are sorted, as Envoy sorts them."""
    fields = {
        "attempts": 1,
        "bytes_received": 120,
        "bytes_sent": 840,
        "details": "via_upstream",
        "duration_ms": 412,
        "first_byte_ms": 88,
        "flags": "-",
        "gateway": {"path": "/v1/chat/completions", "request_id": request_id},
        "method": "POST",
        "path": "/v1/chat/completions",
        "request_id": request_id,
        "route": "openai.chat",
        "status": 200,
        "time": "1795438442.115587",
        "upstream": "10.0.0.1:443",
    }
    return encode(fields | changes) + b"\n"


def observed(request_id: str, **fields: str | float) -> bytes:
    """A worker's observation line."""
    return encode({"request_id": request_id, **fields}) + b"\n"


class EnvoyLog:
    """Envoy's side of the access log: appends, and opens the path anew only when asked to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = self._open()

    def write(self, data: bytes) -> None:
        os.write(self._fd, data)

    def reopen(self) -> None:
        os.close(self._fd)
        self._fd = self._open()

    def close(self) -> None:
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
