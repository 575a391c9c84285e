"""Reads a configuration and runs a worker on it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from processor import admin
from processor import config as configuration
from processor.accounting.observations import ObservationLog
from processor.adapters.admin_http import AdminServer
from processor.adapters.loopback import Loopback
from processor.auth.credentials import Outgoing
from processor.config import Config, KnownProvider
from processor.extproc.server import start
from processor.state import State
from processor.topology import Topology, build
from processor.vendors import DIALECTS, VENDORS
from processor.worker import Worker

_GRACE = 30.0
"""Seconds a stopping worker lets its streams run; Envoy has drained before it is told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A configuration, ready to run."""

    config: Config
    topology: Topology
    state: State
    gateway_key: str
    """The key in use when there is no configuration file; empty with one: only hashes are known then."""


def load(config_file: Path | None, state: State, environ: Mapping[str, str] | None = None) -> Setup:
    """Read the configuration, or make the embedded one.

    Raises:
        ConfigError: with file, line and path of the mistake.
    """
    environ = os.environ if environ is None else environ
    known = [
        KnownProvider(name=v.name, aliases=v.aliases, env=v.env, dialects=tuple(v.dialects), homeless=not v.origin)
        for v in VENDORS.values()
    ]
    gateway_key = ""
    if config_file:
        config = configuration.load(config_file, known=known, environ=environ, dialects=tuple(DIALECTS))
    else:
        gateway_key = environ.get("GATEWAY_KEY") or state.gateway_key()
        digest = hashlib.sha256(gateway_key.encode()).hexdigest()
        config = configuration.default(known=known, environ=environ, key_sha256=digest)
    topology = build(config, demo_socket=str(state.demo_socket))
    return Setup(config=config, topology=topology, state=state, gateway_key=gateway_key)


async def work(setup: Setup, number: int) -> None:
    """Be worker `number` until told to stop."""
    observations = ObservationLog(setup.state.observed)
    _warm(setup.topology)
    loopback = Loopback(setup.state.loopback_socket)
    worker = Worker.of(setup.config, setup.topology)
    beside = [asyncio.create_task(task) for task in worker.beside(loopback)]
    server = await start(worker.servicer(observations, loopback), setup.state.worker_socket(number))
    api = AdminServer(setup.state.admin_api_socket(number), admin.routes(worker))
    api.start()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
    await server.stop(_GRACE)
    for task in beside:
        task.cancel()
    await worker.close()
    await loopback.close()
    await api.close()
    with contextlib.suppress(FileNotFoundError):
        setup.state.worker_socket(number).unlink()
    observations.close()


def _warm(topology: Topology) -> None:
    """Sign once for nothing: the first signature loads its library, and a request should not wait for that."""
    for provider in topology.providers.values():
        if provider.enabled and provider.keys:
            nothing = Outgoing(method="POST", host=provider.origin.authority, path="/", headers=(), body=b"", now=0)
            provider.vendor.auth.headers(provider.keys[0], nothing)
