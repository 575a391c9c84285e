"""Puts a configuration and the vendors' data together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import lcm

from processor.config import Config, ModelConfig, PassthroughConfig, ProviderConfig, TargetConfig
from processor.domain import Feature
from processor.errors import ConfigError
from processor.policy.affinity import Source
from processor.policy.ordering import Candidate
from processor.policy.prices import PriceTable
from processor.policy.routing import Strategy
from processor.topology.allowances import limits_of
from processor.topology.model import (
    Keeping,
    Model,
    Origin,
    Patience,
    Provider,
    Scope,
    Target,
    Topology,
    direct_attempts,
    route_length,
)
from processor.topology.tariffs import price_table
from processor.vendors import DIALECTS, VENDORS
from processor.vendors._vendor import Vendor
from processor.vendors.demo import DEMO

_CONNECT = ProviderConfig(name="").connect
"""Seconds, where nothing is said."""


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
    prices = price_table(config)
    models = {name: _model(name, config, providers, prices) for name in config.models}
    return Topology(
        prices=prices,
        providers=providers,
        models=models,
        gated=config.passthrough != PassthroughConfig(),
        direct=partial(_direct, drop_params=config.drop_params),
    )


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
        connect=config.connect if config else _CONNECT,
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
        connect=config.connect,
        enabled=True,
    )


def _direct(provider: Provider, model: str, *, drop_params: bool) -> Model:
    """What `provider/model` names: the provider's keys take turns, and stand in for one another."""
    targets = tuple(_keyed(Target(provider=provider, model=model)))
    return Model(
        name=str(targets[0]),
        targets=targets,
        candidates=tuple(_candidate(target) for target in targets),
        attempts=direct_attempts(provider),
        drop_params=drop_params,
    )


def _model(name: str, config: Config, providers: Mapping[str, Provider], prices: PriceTable) -> Model:
    settings = config.models[name]
    for target in settings.targets:
        if not providers[target.provider].vendor.operations:
            message = f"{target.provider} can only be used in passthrough yet"
            raise ConfigError(message, file=config.file, path=f"models.{name}.targets")
    targets, candidates = zip(*_entries(settings, providers, prices), strict=True)
    return Model(
        name=name,
        targets=targets,
        candidates=candidates,
        strategy=Strategy(settings.strategy),
        affinity=tuple(map(Source, settings.affinity)),
        attempts=_attempts(targets, settings.retry.attempts),
        retry_budget=settings.retry.budget,
        timeout=settings.retry.timeout,
        drop_params=config.drop_params if settings.drop_params is None else settings.drop_params,
        rescues=settings.rescue == "restart",
        overflows=settings.on_context_overflow == "next",
        keeping=Keeping(settings.cache.ttl, Scope(settings.cache.scope)) if settings.cache else None,
        limits=limits_of(f"model:{name}", settings.limits, settings.budget),
        selective=len(settings.targets) > 1 and any(target.lacks or target.context for target in targets),
        deny_uncounted=settings.on_store_error == "deny",
    )


def _entries(
    settings: ModelConfig, providers: Mapping[str, Provider], prices: PriceTable
) -> Iterator[tuple[Target, Candidate]]:
    """Every target once for each of its provider's keys, which share the weight it was given."""
    counts = [max(len(providers[target.provider].keys), 1) for target in settings.targets]
    whole = lcm(*counts)
    for entry, (written, count) in enumerate(zip(settings.targets, counts, strict=True)):
        for target in _keyed(_target(written, settings, providers[written.provider], prices)):
            limited = replace(target, limits=limits_of(f"target:{target.label}", written.limits))
            yield limited, _candidate(target, entry=entry, weight=written.weight * whole // count)


def _target(written: TargetConfig, settings: ModelConfig, provider: Provider, prices: PriceTable) -> Target:
    retry, known = settings.retry, prices.of(provider.name, written.model)
    return Target(
        provider=provider,
        model=written.model,
        patience=Patience(ttft=written.ttft or retry.ttft, idle=written.idle or retry.idle, timeout=written.timeout),
        context=written.context or (known.context if known else None),
        lacks=provider.vendor.lacks.union(map(Feature, written.lacks), known.lacks if known else ()),
    )


def _keyed(target: Target) -> Iterator[Target]:
    for number in range(max(len(target.provider.keys), 1)):
        yield replace(target, credential=number)


def _candidate(target: Target, *, entry: int = 0, weight: int = 1) -> Candidate:
    return Candidate(name=target.label, entry=entry, weight=weight, lacks=target.lacks, context=target.context)


def _attempts(targets: Sequence[Target], wanted: int) -> int:
    """How often a request is tried at most: each target once, and once more where all have failed."""
    return route_length(len({target.provider.name for target in targets}), min(wanted, 2 * len(targets)))
