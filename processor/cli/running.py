"""What `up` and `serve` have in common: the processes of a set-up, and the recorder beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from processor.accounting.recorder import Recorder
from processor.adapters import jsonl_usage, sqlite_usage
from processor.app import Setup
from processor.ports import UsageSink
from processor.supervise.child import Child
from processor.supervise.envoy import Admin

_SINKS: Mapping[str, tuple[str, Callable[[Path], UsageSink]]] = {
    "sqlite": (sqlite_usage.FILE_NAME, sqlite_usage.SqliteUsageSink),
    "jsonl": (jsonl_usage.FILE_NAME, jsonl_usage.JsonlUsageSink),
}


_GRACE = 5.0
"""Seconds a finished request's record waits for what a worker saw: Envoy tells it of a cut passthrough after two."""


def workers(setup: Setup, config: Path | None) -> list[Child]:
    """The processor's processes."""
    options = ["--state", str(setup.state.folder), *(["--config", str(config)] if config else [])]
    environ = dict(os.environ) | ({"GATEWAY_KEY": setup.gateway_key} if setup.gateway_key else {})
    return [
        Child(
            name=f"processor {number}",
            command=(sys.executable, "-m", "processor", "worker", "--number", str(number), *options),
            environ=environ,
        )
        for number in range(setup.config.workers)
    ]


def demo_vendor(setup: Setup) -> list[Child]:
    """The demo vendor, where the configuration wants it."""
    if not setup.config.demo:
        return []
    command = (sys.executable, "-m", "processor.demo", "--socket", str(setup.state.demo_socket))
    return [Child(name="demo vendor", command=command, environ=dict(os.environ))]


def admin_of(setup: Setup) -> Admin:
    """Envoy's admin interface."""
    return Admin(socket=setup.state.admin_socket, port=setup.config.admin.port)


def recorder(setup: Setup, admin: Admin) -> Recorder:
    """Reads what Envoy and the workers wrote, and writes usage records."""
    usage = setup.config.usage
    file_name, open_sink = _SINKS[usage.sink]
    path = Path(usage.path) if usage.path else setup.state.folder / file_name
    return Recorder(
        setup.state.access_log,
        setup.state.observed,
        open_sink(path),
        grace=_GRACE,
        reopen=lambda: admin.post_now("/reopen_logs"),
    )
