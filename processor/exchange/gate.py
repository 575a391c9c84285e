"""The gate of passthrough, where there is one: who a client is, whom it may ask, and how much."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from processor import names
from processor.config import KeyConfig, PassthroughConfig
from processor.domain import Usage
from processor.errors import Forbidden, GatewayError, Unauthenticated
from processor.exchange.access import Keyring, presented_key
from processor.exchange.limiting import Estimate, Limiter, Reservation
from processor.exchange.messages import Action, Event, Headers, Proceed, RequestHeaders, Respond
from processor.exchange.pricing import Money
from processor.policy.access import allowed
from processor.policy.estimate import estimate_tokens
from processor.schema.error import OPENAI_ERRORS

_PASSTHROUGH = "passthrough."
_SHOWN = 12
"""Digits of a vendor key's hash: enough to tell clients apart."""
_MOST = 65_536
"""Requests under way that are remembered."""


@dataclass(slots=True, kw_only=True)
class Passage:
    """One request that was let through."""

    reservations: list[Reservation]
    parties: int
    """Who looks after it: the gate and, but for WebSockets, the meter that counts what was used."""
    usage: Usage = field(default_factory=Usage)
    money: Money | None = None


class Passages:
    """Requests that have passed the gate and are not over, by their ids: where gate and meter meet."""

    def __init__(self, on_over: Callable[[Passage], None]) -> None:
        self._on_over = on_over
        self._passages: OrderedDict[str, Passage] = OrderedDict()

    def enter(self, request_id: str, passage: Passage) -> None:
        """A request is let through."""
        while len(self._passages) >= _MOST:
            self._on_over(self._passages.popitem(last=False)[1])
        self._passages[request_id] = passage

    def leave(self, request_id: str, usage: Usage | None = None, money: Money | None = None) -> None:
        """One of those who look after a request is done; with the last of them it is over. The meter says what was
        used. Nothing happens where no gate let it through.
        """
        passage = self._passages.get(request_id)
        if passage is None:
            return
        if usage is not None:
            passage.usage, passage.money = usage, money
        passage.parties -= 1
        if not passage.parties:
            del self._passages[request_id]
            self._on_over(passage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the gate's exchanges share."""

    settings: PassthroughConfig
    keyring: Keyring
    limiter: Limiter
    passages: Passages


class GateExchange:
    """A request's headers, then nothing until it is over."""

    def __init__(self, request_id: str, gate: Gate) -> None:
        self._request_id = request_id
        self._gate = gate
        self._entered = False
        self.deadline: float | None = None
        self.done = False

    async def expire(self) -> tuple[Action, ...]:
        """Nothing waits here."""
        return ()

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Let the request go on, or answer it."""
        if not isinstance(event, RequestHeaders):
            return ()
        facts: dict[str, str | float] = {}
        try:
            headers = await self._pass(event, facts)
        except GatewayError as error:
            self.done = True
            told = (("content-type", "application/json"), *error.headers)
            return (Respond(error.status, OPENAI_ERRORS.body(error), told, {**facts, "error": error.code}),)
        return (Proceed(remove_headers=headers, facts=facts),)

    def close(self) -> None:
        """The request is over."""
        if self._entered:
            self._gate.passages.leave(self._request_id)

    async def _pass(self, event: RequestHeaders, facts: dict[str, str | float]) -> tuple[str, ...]:
        gate = self._gate
        route = str(event.attributes.get(names.ROUTE_ATTRIBUTE, ""))
        provider, _, websocket = route.removeprefix(_PASSTHROUGH).partition(".")
        key = await self._identity(event.headers, facts)
        if not (allowed(provider, gate.settings.providers) and allowed(provider, key.providers)):
            raise Forbidden(f"Nobody may ask {provider} here with this key.", code="provider_not_allowed")
        size = event.headers.get("content-length", "0")
        estimate = Estimate(
            input_tokens=estimate_tokens(int(size)) if size.isdigit() else 0, output_tokens=0, bounded=False
        )
        reservation = await gate.limiter.admit_size(self._request_id, key, estimate)
        if reservation:
            self._entered = True
            parties = 1 if websocket else 2
            gate.passages.enter(self._request_id, Passage(reservations=[reservation], parties=parties))
        return (names.GATEWAY_KEY_HEADER,) if names.GATEWAY_KEY_HEADER in event.headers else ()

    async def _identity(self, headers: Headers, facts: dict[str, str | float]) -> KeyConfig:
        """The gateway key, or one that stands for the vendor key, with the limits that each of those has."""
        settings = self._gate.settings
        if settings.key == "gateway":
            if not (presented := headers.get(names.GATEWAY_KEY_HEADER, "")):
                raise Unauthenticated("No gateway key. Send it as `x-gateway-key`.", code="missing_api_key")
            key = await self._gate.keyring.authenticate({"x-api-key": presented})
            facts["key"] = key.name
            if key.team:
                facts["team"] = key.team
            return key
        name = "passthrough"
        if settings.key == "vendor":
            digest = hashlib.sha256(presented_key(headers).encode()).hexdigest()
            name = f"vendor-key-{digest[:_SHOWN]}"
            facts["key"] = name
        return KeyConfig(name=name, sha256="", limits=settings.limits)
