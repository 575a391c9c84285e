"""What a configuration comes to: providers with their hosts, models with their targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product
from urllib.parse import urlsplit

from processor import names
from processor.config import Config, ProviderConfig
from processor.errors import ConfigError
from processor.policy.affinity import Source
from processor.policy.health import TargetKey
from processor.policy.ordering import Candidate
from processor.policy.routing import Strategy
from processor.vendors import DIALECTS, VENDORS, find
from processor.vendors._vendor import Vendor
from processor.vendors.demo import DEMO

_PORTS = {"http": 80, "https": 443}
_ROUTES = 1024
"""Sequences of one model's providers that are rendered: five of ten providers, say, would be 100,000."""


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
class Target:
    """One candidate to answer a model: a provider and its own name for the model."""

    provider: Provider
    model: str
    weight: int = 1

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.model}"

    @property
    def key(self) -> TargetKey:
        """What its health is kept under."""
        return TargetKey(self.provider.name, self.model)


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
    ttft: float | None = None
    idle: float | None = None
    timeout: float | None = None
    drop_params: bool = False
    """Whether parameters that a target cannot do are left out rather than refused."""
    direct: bool = False
    """Named by a provider's own model, `provider/model`."""

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of its targets' providers, each once."""
        return tuple(dict.fromkeys(target.provider.name for target in self.targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """All of it."""

    providers: Mapping[str, Provider]
    models: Mapping[str, Model]
    drop_params: bool = False
    """For models that are named by their provider."""

    def resolve(self, name: str) -> Model | None:
        """The model a client names: one of ours, `provider/model`, or a well-known name of an enabled provider."""
        if model := self.models.get(name):
            return model
        provider_name, slash, vendor_model = name.partition("/")
        if not slash:
            return self._well_known(name)
        provider = self._enabled(provider_name)
        return self._direct(provider, vendor_model) if provider and vendor_model else None

    def listed(self) -> list[str]:
        """The names `/v1/models` shows: ours, then the well-known ones of enabled providers."""
        known = [f"{p.name}/{model}" for p in self.providers.values() if p.enabled for model in p.vendor.models]
        return [*self.models, *known]

    def routes(self) -> Iterator[tuple[str, ...]]:
        """Every sequence of providers that the attempts of a request may take, each once."""
        direct = ((provider.name,) for provider in self.providers.values() if provider.enabled)
        of_models = (route for model in self.models.values() for route in _routes(model.providers, model.attempts))
        yield from dict.fromkeys((*direct, *of_models))

    def _enabled(self, name: str) -> Provider | None:
        vendor = find(name)
        provider = self.providers.get(vendor.name if vendor else name)
        return provider if provider and provider.enabled and provider.vendor.operations else None

    def _well_known(self, name: str) -> Model | None:
        for provider in self.providers.values():
            if provider.enabled and name in provider.vendor.models:
                return self._direct(provider, name)
        return None

    def _direct(self, provider: Provider, model: str) -> Model:
        target = Target(provider=provider, model=model)
        candidates = (Candidate(name=str(target)),)
        return Model(
            name=str(target), targets=(target,), candidates=candidates, direct=True, drop_params=self.drop_params
        )


def _attempts(targets: Sequence[Target], wanted: int) -> int:
    """How often a request is tried at most: each target once, and once more where all have failed."""
    return route_length(len({target.provider.name for target in targets}), min(wanted, 2 * len(targets)))


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


def allowed(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a key with these shell-style patterns may use a model; no pattern allows all."""
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def build(config: Config, *, demo_socket: str) -> Topology:
    """Put configuration and vendors' data together."""
    providers = {
        name: _known(vendor, config.providers.get(name))
        for name, vendor in VENDORS.items()
        if vendor.origin or name in config.providers
    }
    for name, provider in config.providers.items():
        if name not in VENDORS:
            providers[name] = _self_hosted(provider)
    if config.demo:
        origin = Origin(scheme="http", host="demo", port=80, pipe=demo_socket)
        providers[DEMO.name] = Provider(name=DEMO.name, vendor=DEMO, origin=origin, enabled=True)
    models = {name: _model(name, config, providers) for name in config.models}
    return Topology(providers=providers, models=models, drop_params=config.drop_params)


def _known(vendor: Vendor, config: ProviderConfig | None) -> Provider:
    if config and config.dialect:
        vendor = vendor.speaking(config.dialect)
    origin = Origin.parse(config.base_url if config and config.base_url else vendor.origin)
    hosts = {} if config and config.base_url else {prefix: Origin.parse(url) for prefix, url in vendor.hosts.items()}
    return Provider(
        name=vendor.name,
        vendor=vendor,
        origin=origin,
        hosts=hosts,
        keys=config.api_keys if config else (),
        ca_file=(config.ca_file or "") if config else "",
        enabled=config is not None,
    )


def _self_hosted(config: ProviderConfig) -> Provider:
    origin = Origin.parse(config.base_url or "")
    return Provider(
        name=config.name,
        vendor=replace(DIALECTS[config.dialect or "openai"], name=config.name, aliases=(), hosts={}, models=()),
        origin=origin,
        keys=config.api_keys,
        ca_file=config.ca_file or "",
        enabled=True,
    )


def _model(name: str, config: Config, providers: Mapping[str, Provider]) -> Model:
    settings = config.models[name]
    targets = []
    for target in settings.targets:
        provider = providers[target.provider]
        if not provider.vendor.operations:
            raise ConfigError(
                f"{target.provider} can only be used in passthrough yet",
                file=config.file,
                path=f"models.{name}.targets",
            )
        targets.append(Target(provider=provider, model=target.model, weight=target.weight))
    return Model(
        name=name,
        targets=tuple(targets),
        candidates=tuple(Candidate(name=str(target), weight=target.weight) for target in targets),
        strategy=Strategy(settings.strategy),
        affinity=tuple(map(Source, settings.affinity)),
        attempts=_attempts(targets, settings.retry.attempts),
        ttft=settings.retry.ttft,
        idle=settings.retry.idle,
        timeout=settings.retry.timeout,
        drop_params=config.drop_params if settings.drop_params is None else settings.drop_params,
    )
