"""What would become of a request, without sending anything: `explain`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from processor.config import KeyConfig
from processor.domain import Operation
from processor.endpoints import Endpoint, find
from processor.errors import MalformedRequest, Unauthenticated, UnknownModel, UnsupportedOperation
from processor.exchange.access import Keyring
from processor.exchange.choosing import Chooser, Question, wanted
from processor.exchange.downstream import usable
from processor.exchange.limiting import Limiter
from processor.exchange.request_body import read_body
from processor.policy.limits import Limit, Standing
from processor.policy.ordering import Place
from processor.topology import Model, Topology
from processor.wire.json import JSON, JSONError, decode, encode

_ANY_KEY = KeyConfig(name="(any)", sha256="0" * 64)
_REQUIRED: JSON = {"messages": [], "input": "", "prompt": "", "query": "", "documents": [], "max_tokens": 1}
"""What endpoints insist on, for a question that brings no body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """`{"model": …, "key": …, "body": {…}, "path": …, "session": …}`; all but the model may be absent."""

    model: str
    key: str = ""
    """A gateway key's name; empty for one that may use everything."""
    body: JSON | None = None
    path: str = "/chat/completions"
    session: str = ""
    """What stands in the header `x-session-id`."""

    @staticmethod
    def read(text: bytes) -> Inquiry:
        """Read one from JSON.

        Raises:
            MalformedRequest: it is not one.
        """
        try:
            said = decode(text)
        except JSONError as error:
            raise MalformedRequest(f"The body is not JSON: {error}.", code="invalid_json") from None
        known = {field.name: dict if field.name == "body" else str for field in fields(Inquiry)}
        if not isinstance(said, dict) or not said.get("model"):
            raise MalformedRequest('Send {"model": …}, and a key, a body, a path, a session if they matter.')
        for name, value in said.items():
            if name not in known or not isinstance(value, known[name]):
                raise MalformedRequest(f"`{name}` is not known here, or not of its type.", param=name)
        return Inquiry(**said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Answers inquiries from what this process knows."""

    topology: Topology
    keyring: Keyring
    chooser: Chooser
    limiter: Limiter

    async def explain(self, inquiry: Inquiry) -> JSON:
        """The model, what the request needs, and every target with its place and the reason for it.

        Raises:
            ClientError: what a client would be told at once.
        """
        endpoint = _endpoint(inquiry.path)
        key = self._key(inquiry.key)
        found = self.topology.resolve(inquiry.model)
        if found is None:
            raise UnknownModel(f"There is no model `{inquiry.model}` here.", param="model")
        model = usable(found, inquiry.model, key, endpoint)
        question = _question(inquiry, endpoint, scope=key.name)
        wants = wanted(model, question)
        places = self.chooser.places(model, question)
        return {
            "model": model.name,
            "key": key.name,
            "strategy": model.strategy,
            "attempts": min(model.attempts, 2 * sum(place.place is not None for place in places)),
            "needs": sorted(wants.needs),
            "estimated_tokens": wants.tokens,
            "affinity": wants.affinity is not None,
            "limits": await self._standings((*self.limiter.keys.of(key), *model.limits)),
            "targets": [*[await self._target(model, place) for place in places], *_left_out(found, model)],
        }

    def _key(self, name: str) -> KeyConfig:
        if not name:
            return _ANY_KEY
        key = self.keyring.named(name)
        if key is None:
            raise Unauthenticated(f"There is no gateway key named `{name}`.", param="key")
        return key

    async def _target(self, model: Model, place: Place) -> JSON:
        target = model.targets[place.number]
        health = self.chooser.healths.of(target.key).snapshot(self.chooser.clock())
        limits = await self._standings(target.limits)
        spent = [limit["limit"].partition(" ")[2] for limit in limits if not limit["remaining"]]
        return {
            "target": target.label,
            "place": None if place.place is None else place.place + 1,
            "reason": place.reason + (f"; passed over while {' and '.join(spent)} are used up" if spent else ""),
            "weight": model.candidates[place.number].weight,
            "circuit": health.state,
            "cooldown": round(health.remaining, 3),
            "in_flight": health.in_flight,
            "ttft": None if health.ttft is None else round(health.ttft, 4),
            "succeeded": health.succeeded,
            "failed": health.failed,
            "limits": limits,
        }

    async def _standings(self, limits: tuple[Limit, ...]) -> list[JSON]:
        return [told(standing) for standing in await self.limiter.store.peek(limits)] if limits else []


def told(standing: Standing) -> JSON:
    """How a limit stands, for people and programs."""
    return {
        "limit": standing.limit.name,
        "amount": standing.limit.amount,
        "remaining": standing.remaining,
        "reset": round(standing.reset, 3),
    }


def _left_out(found: Model, model: Model) -> Iterator[JSON]:
    for target in found.targets:
        if target not in model.targets:
            yield {"target": target.label, "place": None, "reason": "left out: not for this key, or not on this path"}


def _endpoint(path: str) -> Endpoint:
    endpoint = find(path.partition("?")[0])
    if endpoint is None or endpoint.operation is Operation.MODELS:
        raise UnsupportedOperation(f"No model answers on `{path}`.", param="path")
    return endpoint


def _question(inquiry: Inquiry, endpoint: Endpoint, *, scope: str) -> Question:
    given: dict[str, Any] = {name: _REQUIRED.get(name, "") for name in endpoint.required}
    body = encode({**given, **(inquiry.body or {}), "model": inquiry.model})
    read = read_body(body, "application/json", endpoint)
    return Question(operation=endpoint.operation, body=body, read=read, scope=scope, session=inquiry.session)
