"""The two line formats, Envoy's access log and the workers' observations, as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from processor.wire.json import JSON, decode

Facts = Mapping[str, str | float]
"""What the processor knows of a request, by `UsageRecord`'s names; only `TEXTS` and `NUMBERS`, only of their types."""

TEXTS = frozenset(
    {"key", "team", "operation", "provider", "request_model", "response_model", "failed_attempts", "error"}
    | {"usage_source", "cost", "currency", "cache"}
)
SENT = "sent_input_tokens"
"""An estimate of what a vendor was sent that had not begun to answer: the cost of a request its client gave up."""
HEARD = "heard_attempts"
"""How many attempts had reached a worker when a request ended without an answer of theirs."""
NUMBERS = frozenset(
    {"input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "seconds", "ttft_ms", SENT}
    | {HEARD, "malformed_events", "rescued"}
)

_VENDOR_S = "via_upstream"
"""Envoy's details of an answer that is the vendor's, who may say anything."""
_UNRECORDED_ROUTES = frozenset({"local.health"})
_LARGEST = 2.0**53
"""Numbers above it are not counts of anything, and no longer exact."""
_YEAR_10000 = 253_402_300_800.0
"""Calendars end there."""
_SALVAGE_TRIES = 64
"""Places in an unreadable line where another may begin: one line has a few `{\"`, two lines twice as many."""


class UnreadableLine(ValueError):
    """A line that is not of its format: half written, or not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """One finished request, as Envoy saw it."""

    request_id: str
    time: float
    method: str
    path: str
    route: str
    status: int
    flags: str
    attempts: int
    duration_ms: float
    bytes_received: int
    bytes_sent: int
    error: str
    """The code of the error that Envoy answered with by itself."""
    facts: Facts
    """From Envoy's dynamic metadata."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a worker saw of a request beside that."""

    request_id: str
    facts: Facts


def access_line(data: bytes, offset: int) -> AccessLine | None:
    """Read a line of Envoy's access log; None for one that is not to be recorded.

    A request that failed before it was numbered is named by its time and its line's `offset`, so that reading the
    line again gives the same name.

    Raises:
        UnreadableLine: it is not a line of that log.
    """
    fields = _salvage(data, "route")
    route = _text(fields["route"])
    if route in _UNRECORDED_ROUTES:
        return None
    time = _time(fields.get("time"))
    return AccessLine(
        request_id=_text(fields.get("request_id")) or f"{time:.6f}@{offset}",
        time=time,
        method=_text(fields.get("method")),
        path=_text(fields.get("path")).partition("?")[0],
        route=route,
        status=_count(fields.get("status")),
        flags=_text(fields.get("flags")).strip("-"),
        attempts=_count(fields.get("attempts")),
        duration_ms=_number(fields.get("duration_ms")) or 0.0,
        bytes_received=_count(fields.get("bytes_received")),
        bytes_sent=_count(fields.get("bytes_sent")),
        error=_text(fields.get("error")) if fields.get("details") != _VENDOR_S else "",
        facts=_facts(fields.get("gateway")),
    )


def observation(data: bytes) -> Observation:
    """Read a worker's line.

    Raises:
        UnreadableLine: it is not one, or names no request.
    """
    fields = _salvage(data, "request_id")
    request_id = _text(fields["request_id"])
    if not request_id:
        raise UnreadableLine
    return Observation(request_id, _facts(fields))


def _salvage(data: bytes, key: str) -> JSON:
    """The object a line holds.

    A writer killed in mid-line leaves a piece to which the next line is glued: that one is found. An object inside
    another never ends its line, so the first that does is a whole line.
    """
    start = 0
    for _ in range(_SALVAGE_TRIES):
        try:
            fields = decode(memoryview(data)[start:])
        except (ValueError, RecursionError):
            start = data.find(b'{"', start + 1)
            if start < 0:
                break
        else:
            if isinstance(fields, dict) and key in fields:
                return fields
            break
    raise UnreadableLine


def _facts(fields: object) -> Facts:
    if not isinstance(fields, dict):
        return {}
    facts: dict[str, str | float] = {}
    for name, value in fields.items():
        if name in TEXTS:
            if isinstance(value, str):
                facts[name] = value
        elif name in NUMBERS and (number := _number(value)) is not None:
            facts[name] = number
    return facts


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    """A number that can have been counted or measured; Envoy's metadata holds 12 as 12.0."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= _LARGEST else None


def _count(value: Any) -> int:
    return int(_number(value) or 0)


def _time(value: Any) -> float:
    try:
        time = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UnreadableLine from None
    if not 0 <= time < _YEAR_10000:
        raise UnreadableLine
    return time
