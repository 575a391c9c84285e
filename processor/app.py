"""The composition root: the one module that knows every concrete class."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from processor import config as configuration
from processor import names
from processor.accounting.observations import ObservationLog
from processor.adapters.admin_http import AdminServer, Answer
from processor.adapters.fallback_limits import FallbackLimits
from processor.adapters.local_limits import LocalLimits
from processor.adapters.loopback import Loopback
from processor.adapters.redis_connection import connect
from processor.adapters.redis_limits import RedisLimits
from processor.auth.credentials import Outgoing
from processor.config import Config, KnownProvider
from processor.exchange.access import Keyring
from processor.exchange.choosing import Chooser
from processor.exchange.downstream import DownstreamExchange, Gateway
from processor.exchange.explaining import Explainer, Inquiry
from processor.exchange.ledger import Ledger
from processor.exchange.limiting import Limiter
from processor.exchange.meter import MeterExchange
from processor.exchange.pricing import Prices
from processor.exchange.settling import Settling
from processor.exchange.unreached import Unreached
from processor.exchange.upstream import Upstream, UpstreamExchange
from processor.extproc.server import start
from processor.extproc.servicer import Servicer
from processor.policy.circuit import CircuitSettings
from processor.policy.health import Healths
from processor.ports import Caller, LimitStore
from processor.state import State
from processor.topology import KeyLimits, Topology, build, price_table
from processor.vendors import DIALECTS, VENDORS
from processor.wire.json import JSON

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What one worker knows, and what it serves with it."""

    setup: Setup
    keyring: Keyring
    ledger: Ledger
    healths: Healths
    chooser: Chooser
    limiter: Limiter
    settling: Settling

    @staticmethod
    def of(setup: Setup) -> Worker:
        """A fresh one: nothing is held against any target, and nothing is taken of any limit."""
        healths = Healths(_circuit(setup.config))
        limiter = Limiter(
            store=_limit_store(setup.config),
            keys=KeyLimits(setup.config.teams),
            prices=Prices(price_table(setup.config)),
        )
        settling = Settling(limiter)
        return Worker(
            setup=setup,
            keyring=Keyring(setup.config.keys),
            ledger=Ledger(time.monotonic, settling),
            healths=healths,
            chooser=Chooser(healths=healths, clock=time.monotonic, chance=random.random),
            limiter=limiter,
            settling=settling,
        )

    def servicer(self, observations: ObservationLog, caller: Caller) -> Servicer:
        """The streams of every filter."""
        clock = time.monotonic
        circuits = self.setup.config.circuit.failures > 0
        unreached = Unreached(healths=self.healths, circuits=circuits, clock=clock)
        gateway = Gateway(
            topology=self.setup.topology,
            keyring=self.keyring,
            ledger=self.ledger,
            unreached=unreached,
            limiter=self.limiter,
            chooser=self.chooser,
            clock=clock,
            epoch=time.time,
        )
        upstream = Upstream(
            ledger=self.ledger,
            healths=self.healths,
            unreached=unreached,
            limiter=self.limiter,
            circuits=circuits,
            observations=observations,
            clock=clock,
            epoch=time.time,
            caller=caller,
        )
        return Servicer(
            {
                names.DOWNSTREAM_FILTER: lambda request_id: DownstreamExchange(request_id, gateway),
                names.UPSTREAM_FILTER: lambda request_id: UpstreamExchange(request_id, upstream),
                names.METER_FILTER: lambda request_id: MeterExchange(
                    request_id, observations, clock, self.limiter.prices
                ),
            }
        )

    def explain(self, inquiry: bytes) -> JSON:
        """Who would answer a request, and why.

        Raises:
            ClientError: what a client would be told at once.
        """
        explainer = Explainer(topology=self.setup.topology, keyring=self.keyring, chooser=self.chooser)
        return explainer.explain(Inquiry.read(inquiry))

    def admin(self) -> Mapping[tuple[str, str], Answer]:
        """What may be asked about it."""

        async def explain(_: Mapping[str, str], body: bytes) -> JSON:
            return self.explain(body)

        return {("POST", "/explain"): explain}


def _limit_store(config: Config) -> LimitStore:
    local = LocalLimits(time.time)
    if config.redis is None:
        return local
    primary = RedisLimits(connect(config.redis), config.redis.prefix)
    return FallbackLimits(primary, local, timeout=config.redis.timeout, clock=time.monotonic)


def _circuit(config: Config) -> CircuitSettings:
    settings = config.circuit
    return CircuitSettings(
        consecutive_failures=settings.failures or 1, open_for=settings.open, open_for_most=settings.longest
    )


async def work(setup: Setup, number: int) -> None:
    """Be worker `number` until told to stop."""
    observations = ObservationLog(setup.state.observed)
    _warm(setup.topology)
    loopback = Loopback(setup.state.loopback_socket)
    worker = Worker.of(setup)
    server = await start(worker.servicer(observations, loopback), setup.state.worker_socket(number))
    admin = AdminServer(setup.state.admin_api_socket(number), worker.admin())
    admin.start()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()
    await server.stop(_GRACE)
    await worker.settling.finish()
    await loopback.close()
    await admin.close()
    with contextlib.suppress(FileNotFoundError):
        setup.state.worker_socket(number).unlink()
    observations.close()


def _warm(topology: Topology) -> None:
    """Sign once for nothing: the first signature loads its library, and a request should not wait for that."""
    for provider in topology.providers.values():
        if provider.enabled and provider.keys:
            nothing = Outgoing(method="POST", host=provider.origin.authority, path="/", headers=(), body=b"", now=0)
            provider.vendor.auth.headers(provider.keys[0], nothing)
