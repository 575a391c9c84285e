"""What `up` and `serve` have in common: the processes of a set-up, and the recorder beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from processor.accounting.recorder import Recorder
from processor.app import Setup
from processor.supervise.child import Child


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


def recorder(setup: Setup, reopen: Callable[[], None]) -> Recorder:
    """Reads what Envoy and the workers wrote, and writes usage records; `reopen` has Envoy reopen its log."""
    raise NotImplementedError
