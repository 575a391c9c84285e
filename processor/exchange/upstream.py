"""The vendor's side of an OpenAI-mode request, once for each attempt: translate there, hold, translate back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from processor import names
from processor.dialects.base import Translator
from processor.domain import Operation, UsageSource
from processor.errors import (
    GatewayError,
    UpstreamError,
    UpstreamProtocolError,
    UpstreamUnavailable,
    WireError,
)
from processor.exchange.answers import Reader, RefusalReader, StreamReader, Tally, WholeReader
from processor.exchange.ledger import Ledger, Plan
from processor.exchange.messages import (
    Action,
    Begin,
    EndTrailers,
    Event,
    HeaderPairs,
    Headers,
    Replace,
    RequestHeaders,
    Respond,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    Send,
)
from processor.policy.failover import RETRIABLE_STATUSES
from processor.schema.error import error_body
from processor.topology import Target
from processor.wire.encoding import Decoder, decoder_for
from processor.wire.sse import encode_data

_TO_VENDOR = frozenset({"accept", "user-agent", "traceparent", "tracestate"})
"""What of a client's headers a vendor sees in OpenAI mode. All else is removed: keys, cookies, the last attempt's
credential."""
_TO_CLIENT = frozenset({"content-type", "cache-control", "date", "retry-after", "retry-after-ms"})
"""What of a vendor's headers a client sees in OpenAI mode."""
_JSON = ("content-type", "application/json")


class Observations(Protocol):
    """Takes what Envoy's metadata cannot carry: the facts of an exchange that was cut."""

    def write(self, request_id: str, **fields: str | float) -> None:
        """Add facts to a request's record."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """What every attempt of a worker shares."""

    ledger: Ledger
    observations: Observations
    clock: Callable[[], float]
    next_key: Callable[[Target], str]
    """The vendor key to use now; several are rotated."""


class UpstreamExchange:
    """One attempt. `deadline` and `expire` bound the wait for the first content."""

    def __init__(self, request_id: str, upstream: Upstream) -> None:
        self._request_id = request_id
        self._upstream = upstream
        self._plan: Plan | None = None
        self._target: Target | None = None
        self._attempt = 0
        self._sent_at = 0.0
        self._spent = 0.0
        self._headers: Headers = {}
        self._decoder: Decoder | None = None
        self._reader: Reader | None = None
        self._begun = False
        self._ended = False
        self._skipping = False
        """The client's answer is complete; what the vendor still sends is let go."""
        self.deadline: float | None = None
        self.done = False

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Answer Envoy's next message."""
        began = self._upstream.clock()
        actions = self._answer(event, began)
        self._spent += self._upstream.clock() - began
        if actions:
            last = actions[-1]
            self.done = isinstance(last, EndTrailers | Respond) or (isinstance(last, Send) and last.end_of_stream)
        return actions

    def expire(self) -> tuple[Action, ...]:
        """The first content did not come in time: answer the held headers with a 504."""
        self.deadline = None
        return self._fail(
            UpstreamUnavailable("The vendor did not begin to answer in time.", status=504, code="upstream_timeout")
        )

    def close(self) -> None:
        """Account for an answer that was cut after the client had seen some of it, and free what was kept."""
        if self._begun and not self._ended and self._reader and self._plan and self._target:
            tally = self._reader.tally(request_size=self._plan.size, finished=False)
            self._upstream.observations.write(self._request_id, **_usage_facts(tally))
            self._upstream.ledger.discard(self._request_id)

    def _answer(self, event: Event, now: float) -> tuple[Action, ...]:
        match event:
            case ResponseBody(body, end_of_stream):
                return self._body(body, end_of_stream=end_of_stream)
            case RequestHeaders():
                return (self._request(event, now),)
            case ResponseHeaders():
                return self._response(event)
            case ResponseTrailers():
                return (*self._body(b"", end_of_stream=True, trailers=True), EndTrailers())
            case _:
                return ()

    def _request(self, event: RequestHeaders, now: float) -> Action:
        plan = self._plan = self._upstream.ledger.get(self._request_id)
        attempt = self._attempt = int(event.attributes.get(names.ATTEMPT_ATTRIBUTE, 0) or 0)
        if plan is None or not 1 <= attempt <= len(plan.targets):
            return _local(
                UpstreamUnavailable("The gateway no longer knows this request; send it again.", code="request_lost")
            )
        target = self._target = plan.targets[attempt - 1]
        if event.attributes.get(names.PROVIDER_ATTRIBUTE) != target.provider.name:
            # A key must never reach another vendor's host, whatever the reason for the mismatch.
            return _local(GatewayError("The gateway's routes do not match its plan; send the request again."))
        try:
            request = self._translator().request(plan.fields, model=target.model, stream=plan.stream)
        except GatewayError as error:
            self._upstream.ledger.discard(self._request_id)
            return _local(error)
        provider = target.provider
        headers: HeaderPairs = (
            (":path", provider.origin.path + request.path),
            (":authority", provider.origin.authority),
            _JSON,
            ("accept-encoding", "identity"),
            *request.headers,
            *provider.vendor.auth.headers(self._upstream.next_key(target)),
        )
        self._sent_at = self._upstream.clock()
        if plan.model.ttft is not None:
            self._ttft_limit = now + plan.model.ttft
        return Replace(
            request.body,
            headers,
            _removed(event.headers, headers, _TO_VENDOR),
            {"provider": provider.name},
        )

    def _response(self, event: ResponseHeaders) -> tuple[Action, ...]:
        self._headers = event.headers
        self._reader = self._reader_for(event.headers)
        try:
            self._decoder = decoder_for(event.headers.get("content-encoding", ""))
        except WireError as error:
            return self._fail(UpstreamProtocolError(f"The vendor's answer cannot be read: {error}."))
        if self._plan and self._plan.model.ttft is not None:
            self.deadline = self._ttft_limit
        return self._body(b"", end_of_stream=True) if event.end_of_stream else ()

    def _reader_for(self, headers: Headers) -> Reader:
        assert self._plan is not None and self._target is not None  # noqa: S101, PT018 - the request came first
        status = int(headers.get(":status", "502"))
        if not 200 <= status < 300:
            return RefusalReader(status, self._target.provider.name)
        translator = self._translator()
        if self._plan.stream and "json" not in headers.get("content-type", ""):
            return StreamReader(translator.stream(include_usage=self._plan.include_usage))
        return WholeReader(translator)

    def _body(self, body: bytes, *, end_of_stream: bool, trailers: bool = False) -> tuple[Action, ...]:
        reader = self._reader
        assert reader is not None  # noqa: S101 - headers come first
        if self._skipping:
            return (Send(b"", end_of_stream=True),) if end_of_stream and not trailers else ()
        try:
            out = self._read(reader, body, end_of_stream=end_of_stream)
        except WireError as error:
            return self._fail(
                UpstreamProtocolError(f"The vendor's answer cannot be read: {error}."), ended=end_of_stream
            )
        except UpstreamError as error:
            return self._fail(error, ended=end_of_stream)
        if not self._begun and not reader.ready and not end_of_stream:
            return ()
        return self._send(reader, out, end_of_stream=end_of_stream, trailers=trailers)

    def _read(self, reader: Reader, body: bytes, *, end_of_stream: bool) -> bytes:
        decoder = self._decoder
        if decoder:
            body = decoder.feed(body)
        out = reader.feed(body) if body else b""
        if end_of_stream:
            if decoder and (rest := decoder.close()):
                out += reader.feed(rest)
            out += reader.close()
        return out

    def _send(self, reader: Reader, out: bytes, *, end_of_stream: bool, trailers: bool) -> tuple[Action, ...]:
        facts: dict[str, str | float] = {}
        if end_of_stream:
            self._ended = True
            self._upstream.ledger.discard(self._request_id)
            facts = _usage_facts(self._tally(reader, finished=True))
        if self._begun:
            return (Send(out, end_of_stream and not trailers, facts),)
        length = None if reader.streams else len(out)
        begin = self._begin(200 if reader.streams else None, length, facts)
        return (begin, Send(out, end_of_stream and not trailers))

    def _begin(self, status: int | None, length: int | None, facts: dict[str, str | float]) -> Begin:
        """Answer the held headers; `length` is that of a whole body."""
        assert self._plan is not None and self._target is not None  # noqa: S101, PT018 - the request came first
        self._begun = True
        self.deadline = None
        now = self._upstream.clock()
        facts = {"ttft_ms": round((now - self._plan.arrived) * 1000, 3), "error": "", **facts}
        if self._reader and (model := self._tally(self._reader, finished=False).model):
            facts["response_model"] = model
        spent = self._plan.spent + self._spent
        headers = (
            (names.TARGET_HEADER, str(self._target)),
            (names.ATTEMPTS_HEADER, str(self._attempt)),
            (names.SERVER_TIMING_HEADER, _timing(spent, now - self._sent_at)),
            *((("content-length", str(length)), _JSON) if length is not None else ()),
            *(((":status", str(status)),) if status else ()),
        )
        return Begin(headers, _removed(self._headers, headers, _TO_CLIENT), facts)

    def _fail(self, error: UpstreamError, *, ended: bool = False) -> tuple[Action, ...]:
        """Answer with the vendor's error: in the held headers, where Envoy may retry it, or in the stream."""
        assert self._plan is not None  # noqa: S101 - the request came first
        self._skipping = True
        self._ended = True
        body = error_body(error)
        if self._begun:
            self._upstream.ledger.discard(self._request_id)
            assert self._reader is not None  # noqa: S101 - it has begun to send
            facts = {"error": error.code, **_usage_facts(self._tally(self._reader, finished=False))}
            return (Send(encode_data(body), ended, facts),)
        retried = error.status in RETRIABLE_STATUSES and self._attempt < len(self._plan.targets)
        if not retried:
            self._upstream.ledger.discard(self._request_id)
        begin = self._begin(error.status, len(body), {"error": error.code, "usage_source": UsageSource.NONE})
        return (begin, Send(body, ended))

    def _translator(self) -> Translator:
        assert self._target is not None  # noqa: S101 - the request came first
        return self._target.provider.vendor.operations[Operation.CHAT]

    def _tally(self, reader: Reader, *, finished: bool) -> Tally:
        assert self._plan is not None  # noqa: S101 - the request came first
        return reader.tally(request_size=self._plan.size, finished=finished)


def _local(error: GatewayError) -> Respond:
    return Respond(error.status, error_body(error), (_JSON,), {"error": error.code, "usage_source": UsageSource.NONE})


def _removed(headers: Headers, kept: HeaderPairs, allowed: frozenset[str]) -> tuple[str, ...]:
    """The headers that must not go on: neither allowed through nor set anew, and not HTTP's own."""
    set_names = {name for name, _ in kept}
    return tuple(name for name in headers if name not in allowed and name not in set_names and name[0] != ":")


def _timing(gateway: float, upstream: float) -> str:
    return f"gateway;dur={gateway * 1000:.2f}, upstream;dur={upstream * 1000:.1f}"


def _usage_facts(tally: Tally) -> dict[str, str | float]:
    facts: dict[str, str | float] = {
        "usage_source": tally.source,
        "input_tokens": tally.usage.input_tokens,
        "output_tokens": tally.usage.output_tokens,
        "cached_input_tokens": tally.usage.cached_input_tokens,
        "reasoning_tokens": tally.usage.reasoning_tokens,
    }
    if tally.model:
        facts["response_model"] = tally.model
    return facts
