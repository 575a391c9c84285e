"""What Envoy tells an exchange (events) and what an exchange tells Envoy (actions)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Headers = Mapping[str, str]
"""Lower-case names; of a repeated header the last value."""

HeaderPairs = tuple[tuple[str, str], ...]

Facts = Mapping[str, str | float]
"""Dynamic metadata: what the usage record learns from this answer."""


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The request's head; `attributes` are those the filter asked Envoy for."""

    headers: Headers
    end_of_stream: bool
    attributes: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The whole body where it is buffered, a piece of it where it is observed."""

    body: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class ResponseHeaders:
    """The vendor's answer's head."""

    headers: Headers
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class ResponseBody:
    """The vendor's next bytes."""

    body: bytes
    end_of_stream: bool


@dataclass(frozen=True, slots=True)
class ResponseTrailers:
    """The end of a vendor's body that has trailers."""


Event = RequestHeaders | RequestBody | ResponseHeaders | ResponseBody | ResponseTrailers


@dataclass(frozen=True, slots=True)
class Proceed:
    """Let the request's headers or body go on as they are, with changes to the headers."""

    set_headers: HeaderPairs = ()
    remove_headers: tuple[str, ...] = ()
    clear_route_cache: bool = False
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Replace:
    """Send this instead of the request: Envoy's `CONTINUE_AND_REPLACE`."""

    body: bytes
    set_headers: HeaderPairs
    remove_headers: tuple[str, ...] = ()
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer the client without a vendor. Only legal before the response began."""

    status: int
    body: bytes
    headers: HeaderPairs = ()
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """Answer the held response headers."""

    set_headers: HeaderPairs
    remove_headers: tuple[str, ...] = ()
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """The client's next bytes; `end_of_stream` ends its body."""

    body: bytes
    end_of_stream: bool = False
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class EndTrailers:
    """Let the vendor's trailers go by."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Break the client's answer off, so that it cannot be taken for a whole one."""


Message = Proceed | Replace | Respond | Begin | Send | EndTrailers
"""What is said to Envoy."""
Action = Message | Abort
