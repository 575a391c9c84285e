"""One worker: what it knows, what it serves with it, what it does beside."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from processor import names
from processor.adapters.admin_http import Answer
from processor.adapters.fallback_limits import FallbackLimits
from processor.adapters.key_desk import KeyDesk
from processor.adapters.local_limits import LocalLimits
from processor.adapters.redis_circuits import RedisCircuits
from processor.adapters.redis_connection import connect
from processor.adapters.redis_keys import KeyWatch, RedisKeys
from processor.adapters.redis_limits import RedisLimits
from processor.config import Config
from processor.errors import LimitsUnavailable, MalformedRequest
from processor.exchange.access import Keyring
from processor.exchange.alerts import Alerts
from processor.exchange.answering import Observations
from processor.exchange.choosing import Chooser
from processor.exchange.downstream import DownstreamExchange, Gateway
from processor.exchange.explaining import Explainer, Inquiry, told
from processor.exchange.gate import Gate, GateExchange, Passages
from processor.exchange.ledger import Ledger
from processor.exchange.limiting import Limiter
from processor.exchange.meter import MeterExchange
from processor.exchange.pricing import Prices
from processor.exchange.probing import Prober
from processor.exchange.settling import Settling
from processor.exchange.unreached import Unreached
from processor.exchange.upstream import Upstream, UpstreamExchange
from processor.extproc.servicer import Servicer
from processor.policy.circuit import CircuitSettings
from processor.policy.health import Healths
from processor.ports import Caller, StoreError
from processor.topology import KeyLimits, Topology
from processor.wire.json import JSON, JSONError, decode

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What replicas have in common."""

    redis: Redis
    limits: FallbackLimits
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
        settling = Settling(limiter)
        return Worker(
            config=config,
            topology=topology,
            keyring=keyring,
            ledger=Ledger(time.monotonic, settling),
            healths=healths,
            chooser=Chooser(healths=healths, clock=time.monotonic, chance=random.random),
            limiter=limiter,
            settling=settling,
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
            observations=observations,
            clock=clock,
            epoch=time.time,
            caller=caller,
        )
        passages = Passages(self.settling.passed)
        gate = Gate(settings=self.config.passthrough, keyring=self.keyring, limiter=self.limiter, passages=passages)
        return Servicer(
            {
                names.GATE_FILTER: lambda request_id: GateExchange(request_id, gate),
                names.DOWNSTREAM_FILTER: lambda request_id: DownstreamExchange(request_id, gateway),
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
        if self.shared:
            await self.shared.close()

    async def explain(self, inquiry: bytes) -> JSON:
        """Who would answer a request, and why.

        Raises:
            ClientError: what a client would be told at once.
        """
        explainer = Explainer(topology=self.topology, keyring=self.keyring, chooser=self.chooser, limiter=self.limiter)
        return await explainer.explain(Inquiry.read(inquiry))

    def admin(self) -> Mapping[tuple[str, str], Answer]:
        """What may be asked about it, and changed."""
        desk = KeyDesk(self.config.keys, self.shared.keys if self.shared else None, time.time)

        async def explain(_: Mapping[str, str], body: bytes) -> object:
            return await _asked(self.explain(body))

        async def keys(_: Mapping[str, str], __: bytes) -> object:
            return await _asked(desk.all())

        async def create(_: Mapping[str, str], body: bytes) -> object:
            return await _asked(desk.create(_object(body)))

        async def revoke(parameters: Mapping[str, str], _: bytes) -> object:
            return await _asked(desk.revoke(parameters["name"]))

        async def rotate(parameters: Mapping[str, str], body: bytes) -> object:
            grace = _object(body or b"{}").get("grace_seconds", 86400)
            if not isinstance(grace, int | float) or grace < 0:
                raise MalformedRequest("`grace_seconds` must be a number of seconds.", param="grace_seconds")
            return await _asked(desk.rotate(parameters["name"], float(grace)))

        async def limits(parameters: Mapping[str, str], _: bytes) -> object:
            return await self._limits(parameters.get("key", ""))

        return {
            ("POST", "/explain"): explain,
            ("GET", "/keys"): keys,
            ("POST", "/keys"): create,
            ("DELETE", "/keys/{name}"): revoke,
            ("POST", "/keys/{name}/rotate"): rotate,
            ("GET", "/limits"): limits,
        }

    async def _limits(self, name: str) -> JSON:
        """How the limits of one key, or of all, stand; and whether they are counted where they should be."""
        if self.shared:
            await self.shared.watch.refresh()
        keys = [key for key in self.keyring if name in ("", key.name)]
        limits = dict.fromkeys(limit for key in keys for limit in self.limiter.keys.of(key))
        limits |= dict.fromkeys(limit for model in self.topology.models.values() for limit in model.limits)
        standings = await self.limiter.store.peek(tuple(limits))
        return {
            "degraded": bool(self.shared and self.shared.limits.degraded),
            "fallbacks": self.shared.limits.fallbacks if self.shared else 0,
            "limits": [told(standing) for standing in standings],
        }


def _shared(config: Config, keyring: Keyring, local: LocalLimits, healths: Healths) -> Shared | None:
    if config.redis is None:
        return None
    redis, prefix, timeout = connect(config.redis), config.redis.prefix, config.redis.timeout
    keys = RedisKeys(redis, prefix)
    watch = KeyWatch(keys, keyring, timeout=max(timeout, _LOOK_UP), clock=time.monotonic)
    keyring.source = watch
    limits = FallbackLimits(RedisLimits(redis, prefix), local, timeout=timeout, clock=time.monotonic)
    circuits = RedisCircuits(redis, prefix, healths, time.monotonic)
    return Shared(redis=redis, limits=limits, keys=keys, watch=watch, circuits=circuits)


_LOOK_UP = 0.25
"""Seconds that a request waits at most to hear whether its unknown key is a new one."""


def _circuit(config: Config) -> CircuitSettings:
    settings = config.circuit
    return CircuitSettings(
        consecutive_failures=settings.failures or 1, open_for=settings.open, open_for_most=settings.longest
    )


async def _asked(question: Coroutine[Any, Any, object]) -> object:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await question
    except (StoreError, TimeoutError):
        raise LimitsUnavailable("Redis does not answer.", code="store_unavailable") from None


_PATIENCE = 5.0
"""Seconds that an operator waits for Redis."""


def _object(body: bytes) -> JSON:
    try:
        said = decode(body)
    except JSONError as error:
        raise MalformedRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
    if not isinstance(said, dict):
        raise MalformedRequest("The body is not a JSON object.", code="invalid_json")
    return said
