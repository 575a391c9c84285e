"""Passthrough, watched from beside: Envoy sends copies, nothing is answered, usage goes to the observation log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from processor.dialects.base import Observer
from processor.dialects.observe import RequestObserver, model_of, observe_response, operation_of
from processor.domain import Operation, Usage, UsageSource
from processor.exchange.answering import Observations
from processor.exchange.answers import counts
from processor.exchange.gate import Passages
from processor.exchange.messages import (
    Action,
    Event,
    RequestBody,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
)
from processor.exchange.pricing import Money, Prices, counted
from processor.policy.estimate import GENERATING, estimate_tokens
from processor.vendors import find

_COUNTED = frozenset(Operation) - {Operation.MODELS, Operation.OTHER}


def provider_of(path: str) -> str:
    """The provider that a passthrough path names."""
    name = path.removeprefix("/v1/").lstrip("/").partition("/")[0]
    vendor = find(name)
    return vendor.name if vendor else name


class MeterExchange:
    """One passthrough exchange."""

    def __init__(
        self,
        request_id: str,
        observations: Observations,
        clock: Callable[[], float],
        prices: Prices,
        passages: Passages,
    ) -> None:
        self._request_id = request_id
        self._prices = prices
        self._passages = passages
        self._observations = observations
        self._clock = clock
        self._arrived = clock()
        self._method = ""
        self._path = ""
        self._operation = Operation.OTHER
        self._request: RequestObserver | None = None
        self._response: Observer | None = None
        self._ttft: float | None = None
        self._succeeded = False
        self._reported = False
        self.deadline: float | None = None
        self.done = False

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Look, and answer nothing."""
        match event:
            case ResponseBody(body, end_of_stream):
                self._response_body(body, end_of_stream=end_of_stream)
            case RequestHeaders():
                self._request_headers(event)
            case RequestBody(body, end_of_stream):
                self._request_body(body, end_of_stream=end_of_stream)
            case ResponseHeaders():
                self._response_headers(event)
            case _:
                self._finish()
        return ()

    async def expire(self) -> tuple[Action, ...]:
        """Nothing waits here."""
        return ()

    def close(self) -> None:
        """Report what was seen, also of an exchange that was cut."""
        if self._reported:
            return
        self._reported = True
        if self._response:
            self._response.close()
        usage, source = self._usage()
        facts = self._facts(usage, source)
        money = self._cost(usage, facts) if source is not UsageSource.NONE else None
        if money:
            facts |= {"cost": str(money), "currency": money.currency}
        self._observations.write(self._request_id, **facts)
        self._passages.leave(self._request_id, usage, money)

    def _request_headers(self, event: RequestHeaders) -> None:
        self._method = event.headers.get(":method", "")
        self._path = event.headers.get(":path", "").partition("?")[0]
        self._operation = operation_of(self._method, self._path)
        if self._operation in _COUNTED and "json" in event.headers.get("content-type", ""):
            self._request = RequestObserver()

    def _request_body(self, body: bytes, *, end_of_stream: bool) -> None:
        if self._request:
            self._request.feed(body)
            if end_of_stream:
                self._request.close()

    def _response_headers(self, event: ResponseHeaders) -> None:
        status = int(event.headers.get(":status", "0"))
        self._succeeded = 200 <= status < 300
        self._response = observe_response(
            method=self._method,
            path=self._path,
            status=status,
            content_type=event.headers.get("content-type", ""),
            content_encoding=event.headers.get("content-encoding", ""),
        )
        if event.end_of_stream:
            self._finish()

    def _response_body(self, body: bytes, *, end_of_stream: bool) -> None:
        if self._response and body:
            self._response.feed(body)
            if self._ttft is None:
                self._ttft = (self._clock() - self._arrived) * 1000
        if end_of_stream:
            self._finish()

    def _finish(self) -> None:
        """Envoy waits five seconds for a stream that the server does not end."""
        self.close()
        self.done = True

    def _facts(self, usage: Usage, source: UsageSource) -> dict[str, str | float]:
        facts: dict[str, str | float] = {"operation": self._operation, "usage_source": source}
        if source is not UsageSource.NONE:
            facts |= counts(usage)
        if self._ttft is not None:
            facts["ttft_ms"] = round(self._ttft, 3)
        if model := (self._request.model if self._request else "") or model_of(self._path):
            facts["request_model"] = model
        if self._response and self._response.model:
            facts["response_model"] = self._response.model
        return facts

    def _cost(self, usage: Usage, facts: Mapping[str, str | float]) -> Money | None:
        provider = provider_of(self._path)
        for model in ("response_model", "request_model"):  # what is dated may stand under its plain name only
            if name := facts.get(model):
                money = self._prices.cost_at(provider, str(name), counted(usage))
                if money:
                    return money
        return None

    def _usage(self) -> tuple[Usage, UsageSource]:
        seen = self._response
        if seen is None or not self._succeeded:
            return Usage(), UsageSource.NONE
        if seen.usage is not None:
            return seen.usage, UsageSource.PROVIDER if seen.complete else UsageSource.PARTIAL
        if self._operation not in GENERATING or not seen.content_seen:
            return Usage(), UsageSource.NONE
        estimate = Usage(
            input_tokens=estimate_tokens(self._request.input_chars if self._request else 0),
            output_tokens=estimate_tokens(seen.output_chars),
        )
        return estimate, UsageSource.ESTIMATED if seen.complete else UsageSource.PARTIAL
