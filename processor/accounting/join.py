"""Puts what Envoy saw of a request and what a worker saw of it together into its usage record. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from processor.accounting.lines import HEARD, SENT, AccessLine, Facts, Observation
from processor.domain import Mode, Operation, Usage, UsageRecord, UsageSource
from processor.ports import REPLAY_LIMIT
from processor.wire.json import JSONError, decode, encode

GRACE = 3.0
"""Seconds a finished request waits for its observation: a worker writes it within milliseconds, unless it died."""
ORPHANS = 100_000
"""Observations kept without their request, which may still be running: as many streams at once, about 90 MB."""
ORPHAN_AGE = 3600.0
"""Seconds they are kept: longer than all but a few WebSockets last."""

OperationOf = Callable[[str, str], Operation]
"""Method and vendor's path to what was asked."""

_OPERATIONS: Mapping[str, Operation] = {operation.value: operation for operation in Operation}
_SOURCES: Mapping[str, UsageSource] = {source.value: source for source in UsageSource}
_CLIENT_LEFT = "DC"
"""Envoy's flag for a client that closed its connection."""
_NO_HOST = "UH"
"""Envoy's flag where not one of the targets that were left has a host."""
_PASSTHROUGH = "passthrough"

MarkT = TypeVar("MarkT")
"""Where a line stands in its log; only its owner looks inside."""


@dataclass(slots=True)
class _Request(Generic[MarkT]):
    """A finished request whose record is not made yet."""

    line: AccessLine
    mark: MarkT
    since: float
    number: int
    observed: dict[str, str | float] = field(default_factory=dict)


@dataclass(slots=True)
class _Orphan(Generic[MarkT]):
    """What was observed of a request that has not finished."""

    mark: MarkT
    since: float
    facts: dict[str, str | float]


class Joiner(Generic[MarkT]):
    """Takes lines as they are read, gives records as they are complete.

    A request is complete when Envoy's own line has its final count, or an observation of it has come; else when its
    grace is over. Times are seconds of any clock that does not go back.
    """

    def __init__(
        self,
        operation_of: OperationOf,
        *,
        grace: float = GRACE,
        ahead: int = REPLAY_LIMIT,
        orphans: int = ORPHANS,
        orphan_age: float = ORPHAN_AGE,
    ) -> None:
        """`ahead` bounds the requests read from the oldest that waits on."""
        self._operation_of = operation_of
        self._grace = grace
        self._ahead = ahead
        self._orphan_limit = orphans
        self._orphan_age = orphan_age
        self._waiting: dict[str, _Request[MarkT]] = {}
        self._complete: dict[str, _Request[MarkT]] = {}
        self._orphans: dict[str, _Orphan[MarkT]] = {}
        self._recorded: dict[str, None] = {}
        self._number = 0
        self.dropped = 0
        """Observations whose request never finished, or not in time."""
        self.late = 0
        """Observations that came after their request's record."""

    @property
    def room(self) -> int:
        """How many more requests may be read now."""
        oldest = next(iter(self._waiting.values()), None)
        return self._ahead - (self._number - oldest.number if oldest else 0)

    @property
    def crowded(self) -> bool:
        """Whether so many observations wait for their requests that those should be read first."""
        return len(self._orphans) > self._orphan_limit // 2

    @property
    def oldest_request(self) -> MarkT | None:
        """The first access line whose record is still to come."""
        return next((request.mark for request in self._waiting.values()), None)

    @property
    def oldest_observation(self) -> MarkT | None:
        """The first observation that is still needed."""
        return next((orphan.mark for orphan in self._orphans.values()), None)

    def finished(self, line: AccessLine, mark: MarkT, now: float) -> None:
        """A request ended."""
        if line.request_id in self._waiting or line.request_id in self._complete:
            return
        request = _Request(line, mark, now, self._number)
        self._number += 1
        if orphan := self._orphans.pop(line.request_id, None):
            request.observed = orphan.facts
        done = orphan is not None or _is_final(line)
        (self._complete if done else self._waiting)[line.request_id] = request

    def observed(self, seen: Observation, mark: MarkT, now: float) -> None:
        """A worker saw something of a request; later facts replace earlier ones of the same name."""
        name = seen.request_id
        if request := self._waiting.pop(name, None) or self._complete.get(name):
            request.observed.update(seen.facts)
            self._complete[name] = request
        elif orphan := self._orphans.get(name):
            orphan.facts.update(seen.facts)
        elif name in self._recorded:
            self.late += 1
        else:
            self._orphans[name] = _Orphan(mark, now, dict(seen.facts))
            if len(self._orphans) > self._orphan_limit:
                self._drop_oldest()

    def join(self, now: float, *, observed_all: bool, final: bool = False) -> list[UsageRecord]:
        """The records complete by now, each request's once.

        Args:
            now: the clock.
            observed_all: whether every observation written so far has been taken; if not, no grace ends.
            final: nothing more will be observed: grace ends for all.
        """
        if observed_all:
            self._end_grace(now if final else now - self._grace)
        self._forget(now - self._orphan_age)
        requests = self._complete
        self._complete = {}
        self._recorded.update(dict.fromkeys(requests))
        while len(self._recorded) > self._ahead:
            del self._recorded[next(iter(self._recorded))]
        return [record(request.line, request.observed, self._operation_of) for request in requests.values()]

    def _end_grace(self, read_before: float) -> None:
        over = []
        for name, request in self._waiting.items():
            if request.since > read_before:
                break
            over.append(name)
        for name in over:
            self._complete[name] = self._waiting.pop(name)

    def _forget(self, seen_before: float) -> None:
        while self._orphans and next(iter(self._orphans.values())).since < seen_before:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        del self._orphans[next(iter(self._orphans))]
        self.dropped += 1


def _is_final(line: AccessLine) -> bool:
    """Whether nothing more is to be learnt.

    A failed attempt leaves "none" in the metadata; if the next one was cut, its count comes as an observation. What
    Envoy answered by itself no worker has seen.
    """
    if line.route.startswith("local."):
        return True
    source = _SOURCES.get(str(line.facts.get("usage_source")))
    return source is not None and not (source is UsageSource.NONE and line.flags)


def record(line: AccessLine, observed: Facts, operation_of: OperationOf) -> UsageRecord:
    """One request's record; what was observed goes before what Envoy's metadata says."""
    facts = _abandoned(line, {**line.facts, **observed})
    mode, provider, operation = _surface(line, operation_of)
    return UsageRecord(
        request_id=line.request_id,
        time=line.time,
        mode=mode,
        operation=_OPERATIONS.get(_text(facts, "operation"), operation),
        method=line.method,
        path=line.path,
        key=_text(facts, "key"),
        provider=_text(facts, "provider") or provider,
        request_model=_text(facts, "request_model"),
        response_model=_text(facts, "response_model"),
        attempts=line.attempts,
        failed_attempts=_failed_attempts(line, facts),
        team=_text(facts, "team"),
        cost=_text(facts, "cost"),
        currency=_text(facts, "currency"),
        malformed_events=_count(facts, "malformed_events"),
        rescued=_count(facts, "rescued"),
        cache=_text(facts, "cache"),
        status=line.status,
        error=line.error or _text(facts, "error"),
        response_flags=line.flags,
        usage=Usage(
            input_tokens=_count(facts, "input_tokens"),
            output_tokens=_count(facts, "output_tokens"),
            cached_input_tokens=_count(facts, "cached_input_tokens"),
            reasoning_tokens=_count(facts, "reasoning_tokens"),
            seconds=float(facts["seconds"]) if "seconds" in facts else None,
        ),
        usage_source=_SOURCES.get(_text(facts, "usage_source"), UsageSource.NONE),
        ttft_ms=float(facts["ttft_ms"]) if "ttft_ms" in facts else None,
        duration_ms=line.duration_ms,
        bytes_received=line.bytes_received,
        bytes_sent=line.bytes_sent,
    )


def _abandoned(line: AccessLine, facts: dict[str, str | float]) -> dict[str, str | float]:
    """A client that left before the first content still leaves the vendor's bill for what it was sent."""
    counted = _text(facts, "usage_source") not in ("", UsageSource.NONE)
    if counted or SENT not in facts or _CLIENT_LEFT not in line.flags.split(","):
        return facts
    return {**facts, "usage_source": UsageSource.PARTIAL, "input_tokens": facts[SENT]}


def _failed_attempts(line: AccessLine, facts: Facts) -> str:
    """Those before the last one.

    Of a request that no attempt answered a worker tells what each that might have been made would have come to: which
    were, is Envoy's to say. It does not count those that it passes over since they have no host.
    """
    told = _text(facts, "failed_attempts")
    if HEARD not in facts or _NO_HOST in line.flags.split(","):
        return told
    made = max(line.attempts, _count(facts, HEARD), 1)
    try:
        failed = decode(told.encode())[: made - 1]
    except (*JSONError, TypeError):
        return ""
    return encode(failed).decode() if failed else ""


def _surface(line: AccessLine, operation_of: OperationOf) -> tuple[Mode, str, Operation]:
    """What the route's name says: mode, provider, operation."""
    first, _, rest = line.route.partition(".")
    second = rest.partition(".")[0]
    if first == _PASSTHROUGH:
        return Mode.PASSTHROUGH, second, operation_of(line.method, vendor_path(line.path))
    return Mode.OPENAI, "", _OPERATIONS.get(second, Operation.OTHER)


def vendor_path(path: str) -> str:
    """A passthrough path without its `/{provider}` or `/v1/{provider}`."""
    _, _, rest = path.removeprefix("/v1/").lstrip("/").partition("/")
    return "/" + rest


def _text(facts: Facts, name: str) -> str:
    value = facts.get(name, "")
    return value if isinstance(value, str) else ""


def _count(facts: Facts, name: str) -> int:
    value = facts.get(name, 0)
    return 0 if isinstance(value, str) else int(value)
