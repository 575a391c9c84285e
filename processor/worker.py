"""One worker: what it knows, what it serves with it, what it does beside."""

from __future__ import annotations

import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from processor import names
from processor.adapters.fallback_limits import FallbackLimits
from processor.adapters.local_answers import LocalAnswers
from processor.adapters.local_limits import LocalLimits
from processor.adapters.redis_answers import RedisAnswers
from processor.adapters.redis_circuits import RedisCircuits
from processor.adapters.redis_connection import connect
from processor.adapters.redis_keys import KeyWatch, RedisKeys
from processor.adapters.redis_limits import RedisLimits
from processor.config import Config
from processor.exchange.access import Keyring
from processor.exchange.alerts import Alerts
from processor.exchange.answering import Observations, record_over
from processor.exchange.choosing import Chooser
from processor.exchange.downstream import DownstreamExchange, Gateway
from processor.exchange.gate import Gate, GateExchange, Passages
from processor.exchange.keeping import Keeper
from processor.exchange.ledger import Ledger
from processor.exchange.limiting import Limiter
from processor.exchange.meter import MeterExchange
from processor.exchange.pricing import Prices
from processor.exchange.probing import Prober
from processor.exchange.relay import RelayExchange
from processor.exchange.settling import Settling
from processor.exchange.unreached import Unreached
from processor.exchange.upstream import Upstream, UpstreamExchange
from processor.extproc.servicer import Servicer
from processor.policy.circuit import CircuitSettings
from processor.policy.health import Healths
from processor.ports import Caller
from processor.topology import KeyLimits, Topology

if TYPE_CHECKING:
    from redis.asyncio import Redis

_LOOK_UP = 0.25
"""Seconds that a request waits at most to hear whether its unknown key is a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What replicas have in common."""

    redis: Redis
    limits: FallbackLimits
    answers: RedisAnswers
    keys: RedisKeys
    watch: KeyWatch
    circuits: RedisCircuits

    async def close(self) -> None:
        """Let go of it."""
        await self.limits.close()
        await self.redis.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """All of it, put together."""

    config: Config
    topology: Topology
    keyring: Keyring
    ledger: Ledger
    healths: Healths
    chooser: Chooser
    limiter: Limiter
    settling: Settling
    keeper: Keeper
    alerts: Alerts
    shared: Shared | None

    @staticmethod
    def of(config: Config, topology: Topology) -> Worker:
        """A fresh one: nothing is held against any target, and nothing is taken of any limit."""
        healths, alerts = Healths(_circuit(config)), Alerts(time.monotonic)
        healths.on_change.append(alerts.circuit)
        keyring = Keyring(config.keys, time.time)
        local = LocalLimits(time.time)
        shared = _shared(config, keyring, local, healths)
        limiter = Limiter(
            store=shared.limits if shared else local, keys=KeyLimits(config.teams), prices=Prices(topology.prices)
        )
        ledger, settling = Ledger(time.monotonic), Settling(limiter)
        ledger.on_over.append(settling)
        return Worker(
            config=config,
            topology=topology,
            keyring=keyring,
            ledger=ledger,
            healths=healths,
            chooser=Chooser(healths=healths, clock=time.monotonic, chance=random.random),
            limiter=limiter,
            settling=settling,
            keeper=Keeper(shared.answers if shared else LocalAnswers(config.cache_size, time.monotonic), time.time),
            alerts=alerts,
            shared=shared,
        )

    def servicer(self, observations: Observations, caller: Caller) -> Servicer:
        """The streams of every filter."""
        clock = time.monotonic
        circuits = self.config.circuit.failures > 0
        unreached = Unreached(healths=self.healths, circuits=circuits, clock=clock)
        gateway = Gateway(
            topology=self.topology,
            keyring=self.keyring,
            ledger=self.ledger,
            unreached=unreached,
            limiter=self.limiter,
            settling=self.settling,
            keeper=self.keeper,
            chooser=self.chooser,
            clock=clock,
            epoch=time.time,
        )
        upstream = Upstream(
            ledger=self.ledger,
            healths=self.healths,
            unreached=unreached,
            limiter=self.limiter,
            alerts=self.alerts,
            circuits=circuits,
            clock=clock,
            epoch=time.time,
            keeper=self.keeper,
            caller=caller,
        )
        self.ledger.on_over.append(partial(record_over, observations))
        passages = Passages(self.settling.passed)
        gate = Gate(settings=self.config.passthrough, keyring=self.keyring, limiter=self.limiter, passages=passages)
        return Servicer(
            {
                names.GATE_FILTER: lambda request_id: GateExchange(request_id, gate),
                names.DOWNSTREAM_FILTER: lambda request_id: DownstreamExchange(request_id, gateway),
                names.RELAY_FILTER: lambda request_id: RelayExchange(request_id, self.ledger, clock),
                names.UPSTREAM_FILTER: lambda request_id: UpstreamExchange(request_id, upstream),
                names.METER_FILTER: lambda request_id: MeterExchange(
                    request_id, observations, clock, self.limiter.prices, passages
                ),
            }
        )

    def beside(self, caller: Caller) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the requests, until it is cancelled."""
        running = [self.shared.watch.run(), self.shared.circuits.run()] if self.shared else []
        if self.config.circuit.probe:
            prober = Prober(
                topology=self.topology,
                healths=self.healths,
                caller=caller,
                every=self.config.circuit.probe,
                clock=time.monotonic,
                epoch=time.time,
            )
            running.append(prober.run())
        return running

    async def close(self) -> None:
        """Settle what is still to be settled, and let go of what is shared."""
        await self.settling.finish()
        await self.keeper.finish()
        if self.shared:
            await self.shared.close()


def _shared(config: Config, keyring: Keyring, local: LocalLimits, healths: Healths) -> Shared | None:
    if config.redis is None:
        return None
    redis, prefix, timeout = connect(config.redis), config.redis.prefix, config.redis.timeout
    keys = RedisKeys(redis, prefix)
    watch = KeyWatch(keys, keyring, timeout=max(timeout, _LOOK_UP), clock=time.monotonic)
    keyring.source = watch
    limits = FallbackLimits(RedisLimits(redis, prefix), local, timeout=timeout, clock=time.monotonic)
    circuits = RedisCircuits(redis, prefix, healths, time.monotonic)
    answers = RedisAnswers(redis, prefix, timeout=timeout, clock=time.monotonic)
    return Shared(redis=redis, limits=limits, answers=answers, keys=keys, watch=watch, circuits=circuits)


def _circuit(config: Config) -> CircuitSettings:
    settings = config.circuit
    return CircuitSettings(
        consecutive_failures=settings.failures or 1, open_for=settings.open, open_for_most=settings.longest
    )
