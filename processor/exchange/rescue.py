"""A stream that broke off after content, answered to its end by another target."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from processor.dialects.vendor_errors import refusal
from processor.errors import GatewayError, UpstreamError, UpstreamUnavailable, WireError
from processor.exchange.answers import StreamReader, Tally
from processor.exchange.following import signed_call
from processor.exchange.ledger import Plan
from processor.policy.health import Healths
from processor.policy.verdict import Outcome, judge
from processor.ports import Caller, CallError
from processor.topology import Target
from processor.wire.json import JSONError

_LIMIT = 32 * 1024 * 1024
"""Bytes of a second answer."""
_PATIENCE = 120.0
"""Seconds for a whole one, where the target has no limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescuer:
    """Asks once more, by a call of our own: the client's stream is already under way."""

    caller: Caller
    healths: Healths
    clock: Callable[[], float]
    epoch: Callable[[], float]

    async def answer(self, plan: Plan, target: Target) -> tuple[bytes, Tally] | None:
        """The target's whole answer as the client would have been streamed it, and what it came to; None for none."""
        attempt = self.healths.of(target.key).begin(self.clock())
        try:
            async with asyncio.timeout(target.patience.timeout or _PATIENCE):
                found = await self._ask(plan, target)
        except (TimeoutError, CallError, WireError, *JSONError):
            error: UpstreamError = UpstreamUnavailable("The vendor did not answer.")
        except UpstreamError as refused:
            error = refused
        except GatewayError:  # this target cannot be asked such a thing
            attempt.end(self.clock(), None)
            return None
        except asyncio.CancelledError:
            attempt.end(self.clock(), None)
            raise
        else:
            attempt.end(self.clock())
            return found
        attempt.end(self.clock(), judge(Outcome.of(error)), error.code)
        return None

    async def _ask(self, plan: Plan, target: Target) -> tuple[bytes, Tally]:
        provider = target.provider
        translator = provider.vendor.translator(plan.operation)
        assert translator is not None  # noqa: S101 - a plan's targets offer its operation
        asked = plan.asked(target)
        request, now = translator.request(asked), int(self.epoch())
        reply = await self.caller.send(signed_call(provider, target.api_key, request, now=now, limit=_LIMIT))
        if not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body, vendor=provider.name)
        reader = StreamReader(translator.stream(asked))
        out = reader.feed(reply.body) + reader.close()
        return out, reader.tally(request_size=plan.size, finished=True)
