"""Providers with their hosts, models with their targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import product
from urllib.parse import urlsplit

from processor import names
from processor.domain import Feature
from processor.policy.affinity import Source
from processor.policy.health import TargetKey
from processor.policy.limits import Limit
from processor.policy.ordering import Candidate
from processor.policy.prices import PriceTable
from processor.policy.routing import Strategy
from processor.vendors import find
from processor.vendors._vendor import Vendor

_PORTS = {"http": 80, "https": 443}
_ROUTES = 1024
"""Sequences of one model's providers that are rendered: five of ten providers, say, would be 100,000."""
_DIRECT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where requests go: scheme, host and port, or a Unix socket; and a path that goes before the vendor's paths."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """Empty, or with a leading and no trailing slash."""
    pipe: str = ""
    """A Unix socket that stands in for host and port (the demo vendor)."""

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @staticmethod
    def parse(url: str) -> Origin:
        """Read a URL the configuration has already checked."""
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        return Origin(scheme=parts.scheme, host=parts.hostname or "", port=port, path=parts.path.rstrip("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A vendor as this gateway reaches it."""

    name: str
    vendor: Vendor
    origin: Origin
    hosts: Mapping[str, Origin] = field(default_factory=dict)
    """Passthrough path prefix to another origin, for vendors whose paths fan out over several hosts."""
    keys: tuple[str, ...] = field(default=(), repr=False)
    ca_file: str = ""
    connect: float = 5.0
    """Seconds to a connection."""
    enabled: bool = False
    """Whether OpenAI mode may use it; passthrough works for every known vendor."""

    @property
    def cluster(self) -> str:
        """The cluster of its main origin."""
        return names.provider_cluster(self.name)

    def clusters(self) -> Iterator[tuple[str, Origin]]:
        """Every cluster it needs, each origin once."""
        yield self.cluster, self.origin
        for origin in dict.fromkeys(self.hosts.values()):
            yield self.cluster_of(origin), origin

    def cluster_of(self, origin: Origin) -> str:
        """The cluster that reaches `origin`."""
        return self.cluster if origin == self.origin else names.provider_cluster(self.name, origin.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an attempt is waited for, in seconds; None: without limit."""

    ttft: float | None = None
    """To its first content."""
    idle: float | None = None
    """Between two pieces of its stream."""
    timeout: float | None = None
    """To its end."""

    @property
    def first(self) -> float | None:
        """To its first content, whatever limits that."""
        known = [limit for limit in (self.ttft, self.timeout) if limit is not None]
        return min(known, default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """One candidate to answer a model: a provider, one of its keys, and its own name for the model. Itself alone."""

    provider: Provider
    model: str
    credential: int = 0
    """The number of the provider's key: several keys are several targets."""
    patience: Patience = Patience()
    context: int | None = None
    """Tokens that it takes, prompt and answer; None when that is not known."""
    lacks: frozenset[Feature] = frozenset()
    """Features of chat that it does not offer."""
    limits: tuple[Limit, ...] = ()

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.model}"

    @property
    def label(self) -> str:
        """What tells it from the others: `moonshot/kimi-k2#2` with the second of several keys."""
        return f"{self}#{self.credential + 1}" if len(self.provider.keys) > 1 else str(self)

    @property
    def api_key(self) -> str:
        """Empty where the provider has none."""
        keys = self.provider.keys
        return keys[self.credential] if keys else ""

    @property
    def key(self) -> TargetKey:
        """What its health is kept under."""
        return TargetKey(self.provider.name, self.model, self.credential)


class Scope(StrEnum):
    """Who shares a kept answer."""

    KEY = "key"
    TEAM = "team"
    """A key without a team is by itself."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Which answers are kept."""

    seconds: float
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a client may ask for."""

    name: str
    targets: tuple[Target, ...]
    candidates: tuple[Candidate, ...] = ()
    """The targets as their order is decided."""
    strategy: Strategy = Strategy.FAILOVER
    affinity: tuple[Source, ...] = ()
    """What keeps requests at the same target, the first that a request has."""
    attempts: int = 1
    retry_budget: float = 0.2
    """Of the model's live requests, how many may be asking a target again."""
    timeout: float | None = None
    """Seconds, for the whole request."""
    drop_params: bool = False
    """Whether parameters that a target cannot do are left out rather than refused."""
    overflows: bool = True
    """Whether a request too long for one target goes on to one with a larger context."""
    rescues: bool = False
    """Whether a stream that broke off after content is answered to its end by another target."""
    keeping: Keeping | None = None
    """None: no answer is kept."""
    limits: tuple[Limit, ...] = ()
    selective: bool = False
    """Whether what a request needs decides who may answer it."""
    deny_uncounted: bool = False
    """Whether requests are refused while the store of limits cannot be asked."""

    def only(self, fit: Callable[[Target], bool]) -> Model | None:
        """The model with those targets that fit; None where none does."""
        if all(map(fit, self.targets)):
            return self
        kept = [pair for pair in zip(self.targets, self.candidates, strict=True) if fit(pair[0])]
        if not kept:
            return None
        targets, candidates = zip(*kept, strict=True)
        return replace(self, targets=targets, candidates=candidates)

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of its targets' providers, each once."""
        return tuple(dict.fromkeys(target.provider.name for target in self.targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All of it."""

    providers: Mapping[str, Provider]
    models: Mapping[str, Model]
    prices: PriceTable
    gated: bool = False
    """Whether passthrough has a gate: something limits it."""
    direct: Callable[[Provider, str], Model]
    """Makes the model that `provider/model` names."""

    def resolve(self, name: str) -> Model | None:
        """The model a client names: one of ours, `provider/model`, or a well-known name of an enabled provider."""
        if model := self.models.get(name):
            return model
        provider_name, slash, vendor_model = name.partition("/")
        if not slash:
            return self._well_known(name)
        provider = self._enabled(provider_name)
        return self.direct(provider, vendor_model) if provider and vendor_model else None

    def listed(self) -> list[str]:
        """The names `/v1/models` shows: ours, then the well-known ones of enabled providers."""
        known = [f"{p.name}/{model}" for p in self.providers.values() if p.enabled for model in p.vendor.models]
        return [*self.models, *known]

    def routes(self) -> Iterator[tuple[str, ...]]:
        """Every sequence of providers that the attempts of a request may take, each once."""
        enabled = (provider for provider in self.providers.values() if provider.enabled)
        direct = ((provider.name,) * direct_attempts(provider) for provider in enabled)
        of_models = (route for model in self.models.values() for route in _routes(model.providers, model.attempts))
        yield from dict.fromkeys((*direct, *of_models))

    def _enabled(self, name: str) -> Provider | None:
        vendor = find(name)
        provider = self.providers.get(vendor.name if vendor else name)
        return provider if provider and provider.enabled and provider.vendor.operations else None

    def _well_known(self, name: str) -> Model | None:
        for provider in self.providers.values():
            if provider.enabled and name in provider.vendor.models:
                return self.direct(provider, name)
        return None


def direct_attempts(provider: Provider) -> int:
    """How many of a provider's keys a request for one of its own models may try."""
    return min(max(len(provider.keys), 1), _DIRECT_ATTEMPTS)


def _routes(providers: tuple[str, ...], attempts: int) -> Iterator[tuple[str, ...]]:
    """The sequences of these providers that are as long as there are attempts.

    Any order is a policy's to choose, and a provider may come again with another model or key. A shorter one is the
    beginning of a longer one: how far it is followed is said with each request.
    """
    return product(providers, repeat=route_length(len(providers), attempts))


def route_length(providers: int, attempts: int) -> int:
    """How many attempts have a place in the sequences of so many providers."""
    length = attempts
    while length > 1 and providers**length > _ROUTES:
        length -= 1
    return length
