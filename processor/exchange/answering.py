"""A vendor's answer on its way to the client: held until its first content, then sent on, and accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from processor import names
from processor.dialects.base import Asked, Pending, Translator
from processor.dialects.chat_continuation import Continuation
from processor.domain import CacheVerdict, Operation, Usage, UsageSource
from processor.errors import UpstreamError, UpstreamProtocolError, UpstreamRefused, UpstreamUnavailable, WireError
from processor.exchange.alerts import Alerts
from processor.exchange.answers import Reader, RefusalReader, StreamReader, Tally, WholeReader, counts
from processor.exchange.ledger import GRACE, Ending, FailedAttempt, Ledger, Plan
from processor.exchange.messages import (
    Abort,
    Action,
    Begin,
    EndTrailers,
    Event,
    HeaderPairs,
    Headers,
    Respond,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
    Send,
)
from processor.exchange.pricing import Prices, quantities_of
from processor.policy.estimate import GENERATING, READING, estimate_tokens
from processor.policy.health import Attempt
from processor.policy.verdict import ANSWERED, Blame, Outcome, Verdict, judge
from processor.schema.error import ErrorForm
from processor.topology import Target
from processor.wire.encoding import Decoder, decoder_for
from processor.wire.json import JSONError, encode
from processor.wire.retry_after import retry_after

JSON_TYPE = ("content-type", "application/json")

_LONGEST_PAUSE = 10.0
"""Seconds that a request waits until a vendor that asked for a pause may be asked again."""
_LINGER = 0.25
"""Seconds that a vendor has to end a stream after its last event: most end it at once, and their connection is kept."""
_RELAYING = 10.0
"""Seconds that the relay has to end a stream, however busy the machine: it is lost only if the plan is."""
_LATE = ("The vendor did not begin to answer in time.", "upstream_timeout")
_STALLED = ("The vendor stopped in the middle of its answer.", "upstream_stalled")
_ENDLESS = ("The vendor did not finish its answer in time.", "upstream_timeout")

_PAUSES = ("retry-after", "retry-after-ms")
_TO_CLIENT = frozenset({"content-type", "cache-control", "date", *_PAUSES})
"""What of a vendor's headers a client sees in OpenAI mode."""

_Facts = dict[str, str | float]


class Observations(Protocol):
    """Takes what Envoy's metadata cannot carry: the facts of an exchange that was cut, or never answered."""

    def write(self, request_id: str, **fields: str | float) -> None:
        """Add facts to a request's record."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request that has gone to a target."""

    request_id: str
    plan: Plan
    target: Target
    translator: Translator
    asked: Asked
    """What the translator was asked."""
    errors: ErrorForm
    attempt: int
    """From 1."""
    at: float
    """When, in the ledger's clock."""
    date: float
    """The same in seconds since the epoch."""
    circuits: bool
    """Whether a failure may open the target's circuit."""
    prices: Prices
    alerts: Alerts

    @property
    def first_by(self) -> float | None:
        """When its first content must have come."""
        return self.until(self.at, self.target.patience.ttft)

    @property
    def headers_by(self) -> float | None:
        """When Envoy must have given it up if no headers came, however long it took to connect.

        After an interim answer (103) it does not: it takes that for the beginning of the answer.
        """
        silence = self.plan.silence
        return None if silence is None else self.at + self.target.provider.connect + silence + 2 * GRACE

    def until(self, now: float, seconds: float | None) -> float | None:
        """When something has to have come that is waited for so long: at the attempt's own end at the latest."""
        whole = self.target.patience.timeout
        if whole is None:
            return None if seconds is None else now + seconds
        end = self.at + whole
        return end if seconds is None else min(end, now + seconds)


class Answering:
    """One attempt's answer. `deadline` is when something has to have come, if there is a limit."""

    def __init__(self, sent: Sent, ledger: Ledger, attempt: Attempt) -> None:
        self._sent = sent
        self._ledger = ledger
        self._attempt = attempt
        self._headers: Headers = {}
        self._decoder: Decoder | None = None
        self._reader: Reader = RefusalReader(502, sent.target.provider.name)
        self._begun = False
        """Whether the held headers have been answered."""
        self._trailers = False
        """Whether the vendor's body ended in trailers."""
        self._received = False
        """Whether a piece of the vendor's body has come."""
        self._continuation = _continuation(sent)
        self.broken: UpstreamError | None = None
        """Why the answer broke off, where another target may say the rest: `rescued` or `give_up` follows."""
        self.next_at = 0.0
        """When the next attempt may be made, in the ledger's clock."""
        self._over = False
        """Whether the client's answer is complete; what the vendor still sends is let go."""
        self._said = 0
        """Bytes of the client's body."""
        self._spent = 0.0
        self._now = 0.0
        self.deadline = sent.headers_by

    def receive(self, event: Event, *, spent: float, now: float) -> tuple[Action, ...]:
        """Take what the vendor sent; `spent` are the seconds this attempt has cost the gateway so far."""
        self._spent, self._now = spent, now
        match event:
            case ResponseBody(body, end_of_stream):
                self._received = True
                return self._body(body, ended=end_of_stream)
            case ResponseHeaders(headers, end_of_stream):
                return self._head(headers, ended=end_of_stream)
            case ResponseTrailers():
                self._trailers = True
                return self._ended(self._body(b"", ended=True))
            case _:
                return ()

    @property
    def pending(self) -> Pending | None:
        """The calls that the answer waits for; `resume` takes what came of them."""
        return None if self._over else self._reader.pending

    def resume(self, result: tuple[bytes, ...] | UpstreamError, *, now: float) -> tuple[Action, ...]:
        """Go on with the bodies of the pending calls, or with the error of one."""
        self._now = now
        if isinstance(result, UpstreamError):
            return self._ended(self._fail(result, ended=True))
        try:
            out = self._reader.resume(result)
        except (WireError, *JSONError) as error:
            return self._ended(self._fail(_unreadable(error), ended=True))
        except UpstreamError as error:
            return self._ended(self._fail(error, ended=True))
        return () if self._reader.pending else self._ended(self._send(out, ended=True))

    def expire(self) -> tuple[Action, ...]:
        """The deadline has passed: for the first content, for the next piece of a stream, or for its end."""
        self._now = self.deadline or self._now
        self.deadline = None
        if self._over:
            return self._left_open()
        message, code = self._lateness()
        return self._fail(UpstreamUnavailable(message, status=504, code=code), ended=False)

    def _left_open(self) -> tuple[Action, ...]:
        """The vendor has not ended its stream. Where that was not expected it may still, within the limit between two
        pieces: nothing but the end of the connection could be given to the client in its place.
        """
        plan = self._sent.plan
        assert plan.ending is not None  # noqa: S101 - nothing else is waited for
        self._attempt.stream_over(ended=False)
        last = self._sent.until(plan.ending.at, self._sent.target.patience.idle)
        if plan.relayed or (last is not None and last <= self._now):
            return (Abort(),)
        self.deadline = last
        return ()

    def _lateness(self) -> tuple[str, str]:
        if not self._begun:
            return _LATE
        whole = self._sent.target.patience.timeout
        return _ENDLESS if whole is not None and self._now >= self._sent.at + whole else _STALLED

    def close(self, now: float) -> None:
        """No more will come: account for an answer that was cut.

        Before its first content that may be a client that left, or a vendor that another will make good: Envoy
        will say which.
        """
        plan = self._sent.plan
        if self._over:
            return
        if self._begun:
            plan.cut = self._settled(finished=False)
            return
        plan.cut = {"sent_input_tokens": estimate_tokens(plan.size)}
        plan.waited[self._sent.attempt] = (now - self._sent.at) * 1000
        if self._sent.first_by is not None and now >= self._sent.first_by:
            self._note_silence(now)

    def _note_silence(self, now: float) -> None:
        """Not even headers came in time: Envoy has given the attempt up, and makes the next one if there is one."""
        sent = self._sent
        error = UpstreamUnavailable(_LATE[0], status=504, code=_LATE[1])
        self._attempt.end(now, judge(Outcome.of(error)) if sent.circuits else None, error.code)
        self._note_failure(error, now)

    def _note_failure(self, error: UpstreamError, now: float) -> None:
        """Another is to make it good: tell it with the vendor's own status, were it one that no client knows."""
        sent, said = self._sent, int(self._headers.get(":status", "0"))
        status = error.status if 200 <= said < 300 else said
        sent.plan.failed[sent.attempt] = FailedAttempt(str(sent.target), status, error.code, (now - sent.at) * 1000)

    def _ended(self, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        """What ends the answer; where trailers follow, the body's last piece is not its end."""
        if not self._trailers or self.pending or any(isinstance(action, Respond) for action in actions):
            return actions
        return (*(_open_ended(action) for action in actions if not _is_empty(action)), EndTrailers())

    def _head(self, headers: Headers, *, ended: bool) -> tuple[Action, ...]:
        self._headers = headers
        self._reader = self._reader_for(headers)
        self.deadline = self._sent.first_by
        try:
            self._decoder = decoder_for(headers.get("content-encoding", ""))
        except WireError as error:
            return self._fail(_unreadable(error), ended=ended)
        return self._body(b"", ended=True) if ended else ()

    def _reader_for(self, headers: Headers) -> Reader:
        sent = self._sent
        status = int(headers.get(":status", "502"))
        if not 200 <= status < 300:
            return RefusalReader(status, sent.target.provider.name)
        if sent.asked.stream and "json" not in headers.get("content-type", ""):
            return StreamReader(sent.translator.stream(sent.asked))
        return WholeReader(sent.translator, sent.asked)

    def _body(self, body: bytes, *, ended: bool) -> tuple[Action, ...]:
        if self._over:
            if ended and self._reader.complete:
                self._attempt.stream_over(ended=True)
            return (Send(b"", end_of_stream=True),) if ended else ()
        try:
            out = self._read(body, ended=ended)
        except (WireError, *JSONError) as error:  # whatever a translator left to us
            return self._fail(_unreadable(error), ended=ended)
        except UpstreamError as error:
            return self._fail(error, ended=ended)
        reader = self._reader
        if reader.pending or not (self._begun or reader.ready or reader.complete or ended):
            return ()
        return self._send(out, ended=ended)

    def _read(self, body: bytes, *, ended: bool) -> bytes:
        reader, decoder = self._reader, self._decoder
        if decoder:
            body = decoder.feed(body)
        out = reader.feed(body) if body else b""
        if ended and decoder:
            decoder.close()
        return out + reader.close() if ended or reader.complete else out

    def _send(self, out: bytes, *, ended: bool) -> tuple[Action, ...]:
        facts: _Facts = {}
        over = self._over = ended or self._reader.complete
        self._said += len(out)
        if over:
            facts = self._settled(finished=True)
        if self._continuation and out:
            self._continuation.heard(out)
        if self._begun:
            self._await_next(ended=ended)
            if over:
                self._attempt.end(self._now, ANSWERED)
            return (Send(out, ended, facts),)
        kind = self._reader.content_type
        headers: HeaderPairs = (("content-type", kind),) if kind else ()
        if not self._reader.streams:
            headers = (("content-length", str(len(out))), *headers)
        self._attempt.first_content(self._now)
        if over:
            self._attempt.end(self._now, ANSWERED)
        self._sent.plan.answered = True
        actions = (self._begin(headers, facts), Send(out, ended))
        self._await_next(ended=ended)
        return actions

    def _await_next(self, *, ended: bool) -> None:
        if not self._over:
            self.deadline = self._sent.until(self._now, self._sent.target.patience.idle)
        elif not ended:
            self._end_by(self._now + _LINGER)
        else:
            self.deadline = None
            if self._reader.streams:
                self._attempt.stream_over(ended=True)

    def _end_by(self, at: float, *, broken: bool = False) -> None:
        """The client has all it will get. The relay ends its stream; where there is none, the end is that of the
        connection: to end the stream here would leave the vendor's behind.
        """
        self._sent.plan.ending = Ending(self._said, at, broken)
        self.deadline = at + _RELAYING if self._sent.plan.relayed else at

    def _begin(self, headers: HeaderPairs, facts: _Facts) -> Begin:
        """Answer the held headers, and tell how the answer came about."""
        sent = self._sent
        self._begun = True
        self.deadline = None
        told = (*self._attempt_headers(), *headers)
        ttft = round((self._now - sent.plan.arrived) * 1000, 3)
        facts = {"ttft_ms": ttft, **failed_facts(sent.plan), **facts}
        if model := self._tally(finished=False).model:
            facts["response_model"] = model
        return Begin(told, removed(self._headers, told, _TO_CLIENT), facts)

    def _is_rescuable(self, verdict: Verdict) -> bool:
        plan = self._sent.plan
        heard = self._continuation
        willing = verdict.blame in (Blame.TARGET, Blame.LIMIT) and self._sent.attempt < len(plan.targets)
        return willing and heard is not None and heard.possible

    def rest(self, second: bytes) -> bytes | None:
        """What a second answer says beyond what the client has; None if it differs."""
        return self._continuation.rest(second) if self._continuation else None

    def rescued(self, target: Target, rest: bytes, tally: Tally, *, now: float) -> tuple[Action, ...]:
        """Another target has said the rest."""
        error = self.broken
        assert error is not None  # noqa: S101 - else there would be nothing to rescue
        self.broken = None
        self._note_failure(error, self._now)
        facts = {
            **failed_facts(self._sent.plan),
            **self._accounted(tally, target),
            "provider": target.provider.name,
            "rescued": 1,
        }
        out = f": rescued by {target}\n\n".encode() + rest
        self._said += len(out)
        self._end_by(now)
        return (Send(out, facts=facts),)

    def give_up(self, now: float) -> tuple[Action, ...]:
        """Nobody can finish it: an error event, and the end of the connection, so that nobody takes it for whole."""
        error = self.broken
        assert error is not None  # noqa: S101 - it broke off
        self.broken = None
        facts: _Facts = {"error": error.code, **self._settled(finished=False)}
        event = Send(self._sent.errors.event(error), end_of_stream=False, facts=facts)
        if not self._sent.plan.relayed:
            return (event, Abort())
        self._said += len(event.body)
        self._end_by(now, broken=True)  # here it would overtake the event, which is on its way through the relay
        return (event,)

    def _attempt_headers(self) -> HeaderPairs:
        sent = self._sent
        return (
            (names.TARGET_HEADER, str(sent.target)),
            (names.ATTEMPTS_HEADER, str(sent.attempt)),
            *((((names.CACHE_HEADER, CacheVerdict.MISS)),) if sent.plan.entry else ()),
            (names.SERVER_TIMING_HEADER, _timing(sent.plan.spent + self._spent, self._now - sent.at)),
            *(sent.plan.reservations[0].headers if sent.plan.reservations else ()),
        )

    def _fail(self, error: UpstreamError, *, ended: bool) -> tuple[Action, ...]:
        """Answer with the vendor's error: in the held headers, where Envoy may retry it, or in the stream."""
        self._over = True
        pause = retry_after(self._headers, now=self._sent.date)
        verdict = judge(Outcome.of(error, content_seen=self._begun, retry_after=pause))
        self._attempt.end(self._now, verdict if self._sent.circuits else None, error.code)
        if verdict.blame is Blame.CREDENTIAL:
            self._sent.alerts.credential(self._sent.target, error)
        if self._begun:
            self.broken = error
            return () if self._is_rescuable(verdict) else self.give_up(self._now)
        if self._is_passed_on(verdict, pause or 0.0):
            return self._pass_on(error, pause or 0.0, ended=ended)
        self._sent.plan.answered = True
        told = self._told(error, verdict)
        body = self._sent.errors.body(told)
        if not (self._received and ended):
            # Only the last piece of the vendor's body is an end for ours: without it the client would wait for one.
            return (self._respond(told, body),)
        headers = ((":status", str(told.status)), ("content-length", str(len(body))), JSON_TYPE)
        facts: _Facts = {"error": told.code, "usage_source": UsageSource.NONE}
        return (self._begin(headers, facts), Send(body, ended))

    def _respond(self, error: UpstreamError, body: bytes) -> Respond:
        """Answer in the place of the held headers, and be done with the vendor."""
        self._begun = True
        self.deadline = None
        kept = ((name, self._headers[name]) for name in _PAUSES if name in self._headers)
        told = (*self._attempt_headers(), JSON_TYPE, *kept)
        facts = {**failed_facts(self._sent.plan), "error": error.code, "usage_source": UsageSource.NONE}
        return Respond(error.status, body, told, facts)

    def _told(self, error: UpstreamError, verdict: Verdict) -> UpstreamError:
        """What the client reads: that the vendor does not take the gateway's own credential is no fault of the
        client's, whose key is good, and what the vendor says of it is not for its eyes.
        """
        if verdict.blame is not Blame.CREDENTIAL:
            return error
        return UpstreamRefused(
            f"{self._sent.target.provider.name} does not serve the gateway's account; its operator should know.",
            code="upstream_account_refused",
        )

    def _is_passed_on(self, verdict: Verdict, pause: float) -> bool:
        """Whether the next attempt is to answer, at another target or at one that has failed before."""
        plan, attempt = self._sent.plan, self._sent.attempt
        if attempt == len(plan.targets) or not self._headers:  # without headers there is nothing to tell Envoy by
            return False
        following, target = plan.targets[attempt], self._sent.target
        if verdict.blame is Blame.CONTEXT:
            room = target.context or 0
            return plan.model.overflows and any((later.context or 0) > room for later in plan.targets[attempt:])
        if plan.asks_again(attempt + 1) and not self._ledger.retries.allows(plan.model.name, plan.model.retry_budget):
            return False
        if following is target:
            return verdict.retry_same and pause <= _LONGEST_PAUSE
        return verdict.retry_next

    def _pass_on(self, error: UpstreamError, pause: float, *, ended: bool) -> tuple[Action, ...]:
        """Let the next attempt answer: Envoy sees a status it retries, and the client none of this."""
        sent = self._sent
        if 0 < pause <= _LONGEST_PAUSE:
            sent.plan.not_before[sent.target.key] = self._now + pause
        self._note_failure(error, self._now)
        self.next_at = sent.plan.not_before.get(sent.plan.targets[sent.attempt].key, 0.0)
        headers = ((":status", str(names.RETRY_STATUS)), ("content-length", "0"))
        return (self._begin(headers, {}), Send(b"", ended))

    def _tally(self, *, finished: bool) -> Tally:
        tally = self._reader.tally(request_size=self._sent.plan.size, finished=finished)
        if tally.source is UsageSource.ESTIMATED and self._sent.plan.operation not in GENERATING | READING:
            return replace(tally, usage=Usage(), source=UsageSource.NONE)
        return tally

    def _settled(self, *, finished: bool) -> _Facts:
        """What the answer came to, for the record and for the limits."""
        return self._accounted(self._tally(finished=finished), self._sent.target)

    def _accounted(self, tally: Tally, target: Target) -> _Facts:
        plan = self._sent.plan
        plan.tally, plan.answered_by = tally, target.label
        facts = _usage_facts(tally)
        quantities = quantities_of(plan.operation, plan.body.fields, plan.tally.usage)
        if money := self._sent.prices.cost(target, quantities):
            plan.money = money
            facts |= {"cost": str(money), "currency": money.currency}
        return facts


def _continuation(sent: Sent) -> Continuation | None:
    """Only what may be rescued is listened to."""
    chats = sent.plan.operation is Operation.CHAT and sent.asked.stream
    return Continuation() if sent.plan.model.rescues and chats else None


def record_over(observations: Observations, plan: Plan) -> None:
    """A request is over: if its last answer was cut or never came, Envoy's metadata does not tell what that came to."""
    if facts := plan.cut if plan.answered else {**plan.cut, **_unanswered(plan)}:
        observations.write(plan.request_id, **facts)


def _unanswered(plan: Plan) -> _Facts:
    """What each attempt before the last came to, or would have: Envoy answered by itself, or the client left, and how
    many it made until then, it alone knows.
    """
    failed = [plan.failure(attempt) for attempt in range(1, len(plan.targets))]
    return {"failed_attempts": _told(failed), "heard_attempts": plan.heard} if failed else {}


def failed_facts(plan: Plan) -> _Facts:
    """The attempts that failed so far, for the record of an answer."""
    return {"failed_attempts": _told(plan.failed.values())} if plan.failed else {}


def _told(failed: Iterable[FailedAttempt]) -> str:
    return encode([attempt.told() for attempt in failed]).decode()


def removed(headers: Headers, kept: HeaderPairs, allowed: frozenset[str]) -> tuple[str, ...]:
    """The headers that must not go on: neither allowed through nor set anew, and not HTTP's own."""
    set_names = {name for name, _ in kept}
    return tuple(name for name in headers if name not in allowed and name not in set_names and name[0] != ":")


def _unreadable(error: Exception) -> UpstreamProtocolError:
    return UpstreamProtocolError(f"The vendor's answer cannot be read: {error}.")


def _is_empty(action: Action) -> bool:
    return isinstance(action, Send) and not action.body and not action.facts


def _open_ended(action: Action) -> Action:
    """The body is not the end where trailers follow."""
    return Send(action.body, end_of_stream=False, facts=action.facts) if isinstance(action, Send) else action


def _timing(gateway: float, upstream: float) -> str:
    return f"gateway;dur={gateway * 1000:.2f}, upstream;dur={upstream * 1000:.1f}"


def _usage_facts(tally: Tally) -> _Facts:
    facts: _Facts = {"usage_source": tally.source, **counts(tally.usage)}
    if tally.model:
        facts["response_model"] = tally.model
    if tally.malformed:
        facts["malformed_events"] = tally.malformed
    return facts
