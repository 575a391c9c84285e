"""The vendor's side of an OpenAI-mode request, once for each attempt: translate, sign, then see to the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from processor import names
from processor.dialects.base import Asked, Translator
from processor.domain import UsageSource
from processor.endpoints import endpoint_of
from processor.errors import GatewayError, UpstreamError, UpstreamUnavailable
from processor.exchange.alerts import Alerts
from processor.exchange.answering import JSON_TYPE, Answering, Sent, failed_facts, removed
from processor.exchange.following import Following, addressed
from processor.exchange.keeping import Copy, Keeper
from processor.exchange.ledger import Ledger, Plan
from processor.exchange.limiting import Limiter
from processor.exchange.messages import (
    Abort,
    Action,
    EndTrailers,
    Event,
    HeaderPairs,
    Replace,
    RequestHeaders,
    Respond,
    Send,
)
from processor.exchange.rescue import Rescuer
from processor.exchange.unreached import Unreached
from processor.policy.health import Attempt, Healths
from processor.ports import Caller
from processor.schema.error import OPENAI_ERRORS
from processor.topology import Target

_TO_VENDOR = frozenset({"accept", "user-agent", "traceparent", "tracestate", "anthropic-beta"})
"""What of a client's headers a vendor sees in OpenAI mode. All else is removed: keys, cookies, the last attempt's
credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What every attempt of a worker shares."""

    ledger: Ledger
    healths: Healths
    unreached: Unreached
    limiter: Limiter
    alerts: Alerts
    circuits: bool
    """Whether failures open them."""
    clock: Callable[[], float]
    epoch: Callable[[], float]
    """Seconds since the epoch."""
    keeper: Keeper
    caller: Caller
    """Makes the further calls that some answers take."""


class UpstreamExchange:
    """One attempt: its request, then its answer."""

    def __init__(self, request_id: str, upstream: Upstream) -> None:
        self._request_id = request_id
        self._upstream = upstream
        self._spent = 0.0
        self._answering: Answering | None = None
        self._following: Following | None = None
        self._attempt: Attempt | None = None
        self._plan: Plan | None = None
        self._copy: Copy | None = None
        """Of the client's answer, where that may be kept."""
        self._retries = ""
        """The model whose retry budget this attempt uses."""
        self.done = False

    @property
    def deadline(self) -> float | None:
        """When the first content must have come."""
        return self._answering.deadline if self._answering else None

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Answer Envoy's next message."""
        if isinstance(event, RequestHeaders):
            await self._prepare(event)
        began = self._upstream.clock()
        actions = (self._request(event, began),) if isinstance(event, RequestHeaders) else self._answer(event, began)
        self._spent += self._upstream.clock() - began
        while self._answering and self._answering.pending:
            actions = await self._follow(self._answering)
        if self._answering and self._answering.broken:
            actions = await self._rescue(self._answering)
        if self._answering and self._answering.next_at:
            await self._wait(self._answering.next_at)
        if self._copy:
            self._keep(self._copy, actions)
        if actions:
            last = actions[-1]
            ends = isinstance(last, Send) and last.end_of_stream
            self.done = ends or isinstance(last, EndTrailers | Respond | Abort)
        return actions

    async def expire(self) -> tuple[Action, ...]:
        """The first content did not come in time, or the next."""
        if self._answering is None:
            return ()
        actions = self._answering.expire()
        if self._answering.broken:
            return await self._rescue(self._answering)
        await self._wait(self._answering.next_at)
        return actions

    def close(self) -> None:
        """Account for an answer that was cut."""
        now = self._upstream.clock()
        if self._retries:
            self._upstream.ledger.retries.give_back(self._retries)
        if self._answering:
            self._answering.close(now)
        if self._attempt:
            self._attempt.end(now, None)
        if self._plan:
            self._upstream.ledger.leave(self._plan)

    def _answer(self, event: Event, now: float) -> tuple[Action, ...]:
        return self._answering.receive(event, spent=self._spent, now=now) if self._answering else ()

    def _keep(self, copy: Copy, actions: tuple[Action, ...]) -> None:
        plan, upstream = self._plan, self._upstream
        assert plan is not None  # noqa: S101 - there is an answer
        answer = copy.follow(actions, target=str(plan.targets[plan.heard - 1]), at=upstream.epoch())
        if answer and plan.entry:
            upstream.keeper.keep(plan.entry, answer)

    async def _follow(self, answering: Answering) -> tuple[Action, ...]:
        """Make the calls an answer waits for, while Envoy holds what it has."""
        assert answering.pending is not None  # noqa: S101 - the caller has looked
        assert self._following is not None  # noqa: S101 - it came with the request
        try:
            result: tuple[bytes, ...] | UpstreamError = await self._following.bodies(answering.pending)
        except UpstreamError as error:
            result = error
        return answering.resume(result, now=self._upstream.clock())

    async def _rescue(self, answering: Answering) -> tuple[Action, ...]:
        """Have what is left of a broken answer said by those who have not been asked yet, in their order."""
        plan = self._plan
        assert plan is not None  # noqa: S101 - it was answered by its plan
        upstream = self._upstream
        rescuer = Rescuer(caller=upstream.caller, healths=upstream.healths, clock=upstream.clock, epoch=upstream.epoch)
        for target in dict.fromkeys(plan.targets[plan.heard :]):
            if target in plan.targets[: plan.heard]:
                continue
            found = await rescuer.answer(plan, target)
            if found and (rest := answering.rest(found[0])) is not None:
                return answering.rescued(target, rest, found[1], now=upstream.clock())
        return answering.give_up(upstream.clock())

    async def _prepare(self, event: RequestHeaders) -> None:
        """Take what a target's limits want of an attempt that was not foreseen. Wait as long as its vendor asked, if
        the attempt before found no connection: else that one has waited, since Envoy's limit for this one runs already.
        """
        plan = self._upstream.ledger.get(self._request_id)
        attempt = _number(event, plan) if plan else 0
        if plan is None or attempt < 2:
            return
        target = plan.targets[attempt - 1]
        if target.limits and plan.reservations:
            more = await self._upstream.limiter.extend(plan.reservations[0], attempt, target)
            plan.reservations += [more] if more else []
        await self._wait(plan.not_before.get(target.key, 0.0))

    async def _wait(self, until: float) -> None:
        pause = until - self._upstream.clock()
        if pause > 0:
            await asyncio.sleep(pause)

    def _request(self, event: RequestHeaders, now: float) -> Action:
        ledger = self._upstream.ledger
        plan = ledger.get(self._request_id)
        if plan is None:
            return _local(
                UpstreamUnavailable("The gateway no longer knows this request; send it again.", code="request_lost")
            )
        attempt = _number(event, plan)
        target = plan.targets[attempt - 1]
        translator = target.provider.vendor.translator(plan.operation)
        if not attempt or translator is None:
            return _local(GatewayError("The gateway's routes do not match its plan; send the request again."), plan)
        self._upstream.unreached.note(plan, before=attempt)
        plan.begin(attempt)
        self._plan = plan
        ledger.join(plan)
        asked = plan.asked(target)
        try:
            action = self._translated(event, target, translator, asked)
        except GatewayError as error:
            return _local(error, plan)
        if plan.asks_again(attempt):
            self._retries = plan.model.name
            ledger.retries.take(self._retries)
        attempt_at = self._attempt = self._upstream.healths.of(target.key).begin(now)
        sent = Sent(
            request_id=self._request_id,
            plan=plan,
            target=target,
            translator=translator,
            asked=asked,
            errors=endpoint_of(plan.operation).errors,
            circuits=self._upstream.circuits,
            prices=self._upstream.limiter.prices,
            alerts=self._upstream.alerts,
            attempt=attempt,
            at=self._upstream.clock(),
            date=self._upstream.epoch(),
        )
        self._answering = Answering(sent, ledger, attempt_at)
        self._copy = Copy() if plan.entry else None
        return action

    def _translated(self, event: RequestHeaders, target: Target, translator: Translator, asked: Asked) -> Replace:
        provider, upstream = target.provider, self._upstream
        key = target.api_key
        self._following = Following(caller=upstream.caller, provider=provider, key=key, epoch=upstream.epoch)
        outgoing = addressed(provider, translator.request(asked), now=int(upstream.epoch()))
        headers: HeaderPairs = (
            (":method", outgoing.method),
            (":path", outgoing.path),
            (":authority", outgoing.host),
            *outgoing.headers,
            *provider.vendor.auth.headers(key, outgoing),
        )
        return Replace(outgoing.body, headers, removed(event.headers, headers, _TO_VENDOR), {"provider": provider.name})


def _number(event: RequestHeaders, plan: Plan) -> int:
    """Which of the plan's attempts it is, from 1; 0 for none of them.

    Envoy does not count one for which it finds no host at all, so its own count may lag, and it may come again to a
    place where it has been. That the provider is the one of the host it picked is what keeps a key from another
    vendor's host, whatever else is wrong.
    """
    counted = int(event.attributes.get(names.ATTEMPT_ATTRIBUTE, 0) or 0)
    provider = event.attributes.get(names.PROVIDER_ATTRIBUTE)
    first = max(counted, plan.heard + 1)
    places = (*range(first, len(plan.targets) + 1), *range(first - 1, counted - 1, -1)) if counted else ()
    return next((place for place in places if plan.targets[place - 1].provider.name == provider), 0)


def _local(error: GatewayError, plan: Plan | None = None) -> Respond:
    """Answer in the place of an attempt, which is the last."""
    facts = {"error": error.code, "usage_source": UsageSource.NONE}
    if plan is None:
        return Respond(error.status, OPENAI_ERRORS.body(error), (JSON_TYPE,), facts)
    plan.answered = True
    body = endpoint_of(plan.operation).errors.body(error)
    return Respond(error.status, body, (JSON_TYPE,), {**failed_facts(plan), **facts})
