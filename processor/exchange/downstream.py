"""The listener's side of an OpenAI-mode request: who asks, for which model, which targets may answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from processor import names
from processor.config import KeyConfig
from processor.domain import CacheVerdict, Operation, UsageSource
from processor.endpoints import Endpoint, find
from processor.errors import Forbidden, GatewayError, MalformedRequest, UnknownModel, UnsupportedOperation
from processor.exchange.access import Keyring
from processor.exchange.choosing import Chooser, Question
from processor.exchange.keeping import Keeper, entry_of
from processor.exchange.ledger import GRACE, Ledger, Plan
from processor.exchange.limiting import Limiter, Reservation
from processor.exchange.messages import (
    Action,
    Event,
    Facts,
    Proceed,
    RequestBody,
    RequestHeaders,
    Respond,
)
from processor.exchange.request_body import read_body
from processor.exchange.settling import Settling
from processor.exchange.unreached import Unreached
from processor.policy.access import allowed
from processor.ports import KeptAnswer
from processor.schema.models import model_body, models_body
from processor.topology import Model, Target, Topology

_JSON = (("content-type", "application/json"),)
_SESSION_HEADER = "x-session-id"
_NONE = Endpoint("", "", Operation.OTHER)
"""Until the path is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What every exchange of a worker shares."""

    topology: Topology
    keyring: Keyring
    ledger: Ledger
    unreached: Unreached
    limiter: Limiter
    settling: Settling
    keeper: Keeper
    chooser: Chooser
    clock: Callable[[], float]
    """Monotonic seconds."""
    epoch: Callable[[], float]
    """Seconds since the epoch."""


class DownstreamExchange:
    """Headers first (a bad key is refused before the body is read), then the whole body, then a plan in the ledger."""

    def __init__(self, request_id: str, gateway: Gateway) -> None:
        self._request_id = request_id
        self._gateway = gateway
        self._arrived = gateway.clock()
        self._spent = 0.0
        self._key: KeyConfig | None = None
        self._endpoint = _NONE
        self._content_type = ""
        self._session = ""
        self._cache_control = ""
        self._plan: Plan | None = None
        self.deadline: float | None = None
        self.done = False

    async def expire(self) -> tuple[Action, ...]:
        """Nothing waits here."""
        return ()

    async def receive(self, event: Event) -> tuple[Action, ...]:
        """Answer the request's head, then its body."""
        began = self._gateway.clock()
        facts: dict[str, str | float] = {}
        try:
            match event:
                case RequestHeaders():
                    action = await self._head(event, facts)
                case RequestBody(body):
                    action = await self._body(body, facts, began)
                case _:
                    return ()
        except GatewayError as error:
            action = _refuse(error, self._endpoint, facts)
        self._spent += self._gateway.clock() - began
        self.done = isinstance(action, Respond)
        return (action,)

    def close(self) -> None:
        """The client has all of its answer, or has left: Envoy keeps the stream open until then."""
        if plan := self._plan:
            self._gateway.unreached.note_last(plan)
            self._gateway.ledger.leave(plan)

    async def _head(self, event: RequestHeaders, facts: dict[str, str | float]) -> Action:
        path = event.headers.get(":path", "").partition("?")[0]
        endpoint = find(path)
        if endpoint is None:
            raise UnsupportedOperation("Nothing answers on this path.")
        self._endpoint = endpoint
        self._content_type = event.headers.get("content-type", "")
        self._session = event.headers.get(_SESSION_HEADER, "")
        self._cache_control = event.headers.get("cache-control", "")
        facts["operation"] = endpoint.operation
        self._key = await self._gateway.keyring.authenticate(event.headers)
        facts["key"] = self._key.name
        if self._key.team:
            facts["team"] = self._key.team
        if endpoint.operation is Operation.MODELS:
            return self._models(path, facts)
        if event.end_of_stream:
            raise MalformedRequest(f"The request has no body; send a {'form' if endpoint.form else 'JSON object'}.")
        return Proceed(facts=facts)

    def _models(self, path: str, facts: dict[str, str | float]) -> Respond:
        assert self._key is not None  # noqa: S101 - _head has just authenticated it
        facts["usage_source"] = UsageSource.NONE
        topology = self._gateway.topology
        name = unquote(path.removeprefix("/v1").removeprefix("/models").removeprefix("/"))
        if not name:
            listed = [model for model in topology.listed() if allowed(model, self._key.models)]
            return Respond(200, models_body(listed), _JSON, facts)
        if topology.resolve(name) is None or not allowed(name, self._key.models):
            raise UnknownModel(f"There is no model `{name}` here.", param="model")
        return Respond(200, model_body(name), _JSON, facts)

    async def _body(self, body: bytes, facts: dict[str, str | float], began: float) -> Action:
        read = read_body(body, self._content_type, self._endpoint)
        facts["request_model"] = read.model
        key = self._key
        assert key is not None  # noqa: S101 - the head was answered with it
        model = usable(self._model(read.model), read.model, key, self._endpoint)
        facts["request_model"] = model.name
        question = Question(
            operation=self._endpoint.operation,
            body=body,
            read=read,
            scope=key.name,
            session=self._session,
        )
        gateway = self._gateway
        targets = gateway.chooser.targets(model, question)
        facts["provider"] = targets[0].provider.name  # until another target answers
        targets, reservation = await gateway.limiter.admit(self._request_id, key, model, targets, question)
        entry = entry_of(model, key, question, self._cache_control)
        if entry:
            if kept := await gateway.keeper.find(entry):
                return self._kept(kept, reservation, facts)
            facts["cache"] = CacheVerdict.MISS
        facts["provider"] = targets[0].provider.name
        plan = self._plan = Plan(
            key=key.name,
            model=model,
            targets=targets,
            operation=self._endpoint.operation,
            body=read,
            size=len(body),
            request_id=self._request_id,
            now=int(gateway.epoch()),
            arrived=self._arrived,
            spent=self._spent + gateway.clock() - began,
            reservations=[reservation] if reservation else [],
            entry=entry,
            relayed=read.stream and self._is_relayed(model, targets[0]),
        )
        gateway.ledger.put(self._request_id, plan)
        return Proceed(set_headers=_route_headers(plan), clear_route_cache=True, facts=facts)

    def _is_relayed(self, model: Model, target: Target) -> bool:
        """Whether its stream may have to end before the vendor's. It costs a quarter more for each piece, so those who
        have shown that they end theirs are spared it.
        """
        health = self._gateway.chooser.healths.peek(target.key)
        return model.rescues or health is None or not health.ends_streams

    def _kept(self, answer: KeptAnswer, reservation: Reservation | None, facts: dict[str, str | float]) -> Respond:
        """Nobody is asked: what was reserved is given back, but for the request itself."""
        gateway = self._gateway
        del facts["provider"]
        if reservation:
            gateway.settling.unused(reservation)
        return gateway.keeper.served(answer, reservation.headers if reservation else (), facts)

    def _model(self, name: str) -> Model:
        model = self._gateway.topology.resolve(name)
        if model is None:
            raise UnknownModel(
                f"There is no model `{name}` here. GET /v1/models lists what this key may use.", param="model"
            )
        return model


def usable(model: Model, name: str, key: KeyConfig, endpoint: Endpoint) -> Model:
    """The model with the targets that a key may use and that offer the endpoint; `name` is what the client called it.

    Raises:
        Forbidden: the key may not use it.
        UnsupportedOperation: no target offers the endpoint.
    """
    if not (allowed(name, key.models) or allowed(model.name, key.models)):
        raise Forbidden(f"This key may not use the model `{name}`.", param="model")
    able = model.only(lambda target: target.provider.vendor.translator(endpoint.operation) is not None)
    if able is None:
        message = f"The model `{name}` has no {endpoint.path}: {model.providers[0]} offers none."
        raise UnsupportedOperation(message, param="model")
    own = able.only(lambda target: allowed(target.provider.name, key.providers)) if key.providers else able
    if own is None:
        raise Forbidden(f"This key may not use the providers of the model `{name}`.", param="model")
    return own


def _route_headers(plan: Plan) -> tuple[tuple[str, str], ...]:
    model, targets = plan.model, plan.targets
    providers = [target.provider.name for target in targets]
    providers += providers[-1:] * (model.attempts - len(providers))  # a route that is longer does as well
    headers = [
        (names.CLUSTER_HEADER, names.route_cluster(providers)),
        (names.MAX_RETRIES_HEADER, str(len(targets) - 1)),
    ]
    if plan.silence is not None:
        headers.append((names.TRY_TIMEOUT_HEADER, _milliseconds(plan.silence + GRACE)))
    if model.timeout is not None:
        headers.append((names.TIMEOUT_HEADER, _milliseconds(model.timeout)))
    if plan.relayed:
        headers.append((names.RELAY_HEADER, "1"))
    return tuple(headers)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _refuse(error: GatewayError, endpoint: Endpoint, facts: Facts) -> Respond:
    headers = (*_JSON, *error.headers)
    facts = {**facts, "error": error.code, "usage_source": UsageSource.NONE}
    return Respond(error.status, endpoint.errors.body(error), headers, facts)
