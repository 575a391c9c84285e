"""Asks a target that is left alone, by a chat of its own, whether it is well again: no client's request has to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from processor.dialects.base import Asked
from processor.dialects.vendor_errors import refusal
from processor.domain import Operation
from processor.errors import GatewayError, UpstreamError
from processor.exchange.following import signed_call
from processor.policy.circuit import State
from processor.policy.health import Healths, TargetKey
from processor.policy.verdict import ANSWERED, UNREACHED, Outcome, Verdict, judge
from processor.ports import Call, Caller, CallError
from processor.topology import Target, Topology
from processor.wire.json import raw

_PING = {"messages": raw([{"role": "user", "content": "ping"}]), "max_tokens": raw(1)}
_LIMIT = 1024 * 1024
"""Bytes of an answer."""
_PATIENCE = 20.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """Asks each such target that can chat, once its time is over."""

    topology: Topology
    healths: Healths
    caller: Caller
    every: float
    """Seconds between two looks."""
    clock: Callable[[], float]
    epoch: Callable[[], float]

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(self.every)
            await asyncio.gather(*(self.probe(target) for target in self.waiting()))

    def waiting(self) -> Iterator[Target]:
        """Targets whose circuit waits for a probe, each once."""
        now, seen = self.clock(), set[TargetKey]()
        for model in self.topology.models.values():
            for target in model.targets:
                health = self.healths.peek(target.key)
                if target.key in seen or health is None or health.circuit.state(now) is not State.HALF_OPEN:
                    continue
                seen.add(target.key)
                if health.circuit.admits(now) and target.provider.vendor.translator(Operation.CHAT):
                    yield target

    async def probe(self, target: Target) -> None:
        """Ask it for one token; what comes of that closes its circuit, or opens it for longer."""
        attempt = self.healths.of(target.key).begin(self.clock())
        try:
            verdict = await self._ask(target)
        except GatewayError:  # nothing was sent: the gateway itself cannot say it
            verdict = None
        attempt.end(self.clock(), verdict, "the gateway's own probe failed" if verdict else "")

    async def _ask(self, target: Target) -> Verdict:
        try:
            async with asyncio.timeout(_PATIENCE):
                reply = await self.caller.send(self._call(target))
        except (CallError, TimeoutError):
            return judge(UNREACHED)
        if 200 <= reply.status < 300:
            return ANSWERED
        error: UpstreamError = refusal(reply.status, reply.body, vendor=target.provider.name)
        return judge(Outcome.of(error))

    def _call(self, target: Target) -> Call:
        provider = target.provider
        translator = provider.vendor.translator(Operation.CHAT)
        assert translator is not None  # noqa: S101 - only such targets are probed
        now = int(self.epoch())
        asked = Asked(fields=dict(_PING), model=target.model, drop_params=True, request_id="probe", now=now)
        return signed_call(provider, target.api_key, translator.request(asked), now=now, limit=_LIMIT)
