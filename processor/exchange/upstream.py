"""The vendor's side of an OpenAI-mode request, once for each attempt: translate, sign, then see to the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from processor import names
from processor.dialects.base import Translator
from processor.domain import Operation, UsageSource
from processor.errors import GatewayError, UpstreamUnavailable
from processor.exchange.answering import JSON_TYPE, Answering, Observations, Sent, removed
from processor.exchange.ledger import Ledger, Plan
from processor.exchange.messages import Action, EndTrailers, Event, HeaderPairs, Replace, RequestHeaders, Respond, Send
from processor.schema.error import error_body
from processor.topology import Target

_TO_VENDOR = frozenset({"accept", "user-agent", "traceparent", "tracestate"})
"""What of a client's headers a vendor sees in OpenAI mode. All else is removed: keys, cookies, the last attempt's
credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What every attempt of a worker shares."""

    ledger: Ledger
    observations: Observations
    clock: Callable[[], float]
    next_key: Callable[[Target], str]
    """The vendor key to use now; several are rotated."""


class UpstreamExchange:
    """One attempt: its request, then its answer."""

    def __init__(self, request_id: str, upstream: Upstream) -> None:
        self._request_id = request_id
        self._upstream = upstream
        self._spent = 0.0
        self._answering: Answering | None = None
        self.done = False

    @property
    def deadline(self) -> float | None:
        """When the first content must have come."""
        return self._answering.deadline if self._answering else None

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Answer Envoy's next message."""
        began = self._upstream.clock()
        actions = (self._request(event, began),) if isinstance(event, RequestHeaders) else self._answer(event, began)
        self._spent += self._upstream.clock() - began
        if actions:
            last = actions[-1]
            self.done = isinstance(last, EndTrailers | Respond) or (isinstance(last, Send) and last.end_of_stream)
        return actions

    def expire(self) -> tuple[Action, ...]:
        """The first content did not come in time."""
        return self._answering.expire() if self._answering else ()

    def close(self) -> None:
        """Account for an answer that was cut."""
        if self._answering:
            self._answering.close()

    def _answer(self, event: Event, now: float) -> tuple[Action, ...]:
        return self._answering.receive(event, spent=self._spent, now=now) if self._answering else ()

    def _request(self, event: RequestHeaders, now: float) -> Action:
        ledger = self._upstream.ledger
        plan = ledger.get(self._request_id)
        attempt = int(event.attributes.get(names.ATTEMPT_ATTRIBUTE, 0) or 0)
        if plan is None or not 1 <= attempt <= len(plan.targets):
            return _local(
                UpstreamUnavailable("The gateway no longer knows this request; send it again.", code="request_lost")
            )
        target = plan.targets[attempt - 1]
        if event.attributes.get(names.PROVIDER_ATTRIBUTE) != target.provider.name:
            # A key must never reach another vendor's host, whatever the reason for the mismatch.
            return _local(GatewayError("The gateway's routes do not match its plan; send the request again."))
        translator = target.provider.vendor.operations[Operation.CHAT]
        try:
            action = self._translated(event, plan, target, translator)
        except GatewayError as error:
            ledger.discard(self._request_id)
            return _local(error)
        sent = Sent(
            request_id=self._request_id,
            plan=plan,
            target=target,
            translator=translator,
            attempt=attempt,
            at=self._upstream.clock(),
            deadline=None if plan.model.ttft is None else now + plan.model.ttft,
        )
        self._answering = Answering(sent, ledger, self._upstream.observations)
        return action

    def _translated(self, event: RequestHeaders, plan: Plan, target: Target, translator: Translator) -> Replace:
        provider = target.provider
        request = translator.request(plan.fields, model=target.model, stream=plan.stream)
        headers: HeaderPairs = (
            (":path", provider.origin.path + request.path),
            (":authority", provider.origin.authority),
            JSON_TYPE,
            ("accept-encoding", "identity"),
            *request.headers,
            *provider.vendor.auth.headers(self._upstream.next_key(target)),
        )
        return Replace(request.body, headers, removed(event.headers, headers, _TO_VENDOR), {"provider": provider.name})


def _local(error: GatewayError) -> Respond:
    facts = {"error": error.code, "usage_source": UsageSource.NONE}
    return Respond(error.status, error_body(error), (JSON_TYPE,), facts)
