"""The sections of `gateway.yaml`, and what must hold across them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from processor.config.fields import Fields, entries, items
from processor.config.schema import (
    MIB,
    AdminConfig,
    Config,
    KeyConfig,
    KnownProvider,
    ListenConfig,
    ModelConfig,
    ProviderConfig,
    RetryConfig,
    TargetConfig,
    UsageConfig,
)
from processor.config.source import Place, Source, read

_SECTIONS = ("listen", "admin", "workers", "body_limit", "providers", "models", "keys", "usage", "demo", "drain")
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_RESERVED = frozenset(
    {"v1", "chat", "embeddings", "images", "models", "responses", "messages", "audio", "rerank", "realtime"}
    | {"completions", "moderations", "files", "batches", "healthz", "demo"}
)
"""Names that paths of the gateway's own begin with."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
DEMO = "demo"
"""The built-in demo vendor's name as a provider."""
_STRATEGIES = ("weighted", "failover")
_LATER = ("least_busy", "latency")
_MOST_TARGETS = 100


def load(path: Path, *, known: Sequence[KnownProvider], environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file.

    Raises:
        ConfigError: the first mistake, with file, line and path.
    """
    environ = os.environ if environ is None else environ
    source = read(path, environ)
    top = Fields(source, (), _SECTIONS)
    demo = top.boolean("demo", default=False)
    providers = _Providers(source, known, environ, demo=demo)
    models = _models(source, providers)
    return Config(
        file=str(path),
        listen=_listen(source),
        admin=_admin(source),
        workers=top.integer("workers", 1, least=1, most=64),
        body_limit=top.size("body_limit", 32 * MIB),
        providers=providers.configured,
        models=models,
        keys=_keys(source),
        usage=_usage(source),
        demo=demo,
        drain=top.duration("drain") or 30.0,
    )


def from_environment(provider: KnownProvider, environ: Mapping[str, str]) -> ProviderConfig | None:
    """A known provider switched on by the key in its environment variable, if there is one."""
    key = next((environ[name] for name in provider.env if environ.get(name)), None)
    return ProviderConfig(name=provider.name, api_keys=(key,)) if key else None


def _listen(source: Source) -> ListenConfig:
    fields = Fields(source, ("listen",), ("address", "port"))
    defaults = ListenConfig()
    port = fields.integer("port", defaults.port, least=1, most=65535)
    return ListenConfig(address=fields.string("address") or defaults.address, port=port)


def _admin(source: Source) -> AdminConfig:
    fields = Fields(source, ("admin",), ("port",))
    port = fields.integer("port", 0, least=1, most=65535) if "port" in fields else None
    return AdminConfig(port=port)


def _usage(source: Source) -> UsageConfig:
    fields = Fields(source, ("usage",), ("sink", "path"))
    return UsageConfig(sink=fields.choice("sink", "sqlite", ("sqlite", "jsonl")), path=fields.string("path"))


class _Providers:
    """The providers of a file, and those a target may name besides."""

    def __init__(
        self, source: Source, known: Sequence[KnownProvider], environ: Mapping[str, str], *, demo: bool
    ) -> None:
        self._source = source
        self._known = {provider.name: provider for provider in known}
        self._names = {alias: provider.name for provider in known for alias in (provider.name, *provider.aliases)}
        self._environ = environ
        self._demo = demo
        self.configured: dict[str, ProviderConfig] = {}
        for written in entries(source, "providers"):
            self._configure(written)

    def name(self, written: str) -> str:
        """A provider's own name for any spelling of it."""
        return self._names.get(written, written)

    def require(self, name: str, place: Place) -> None:
        """Insist that a target's provider is configured, or known and switched on by its environment variable."""
        if name in self.configured or (name == DEMO and self._demo):
            return
        provider = self._known.get(name)
        if provider is None:
            message = f"there is no provider `{name}`: it is neither under `providers` nor a known one"
            self._source.fail(place, message)
        found = from_environment(provider, self._environ)
        if found is None:
            variables = " or ".join(provider.env) or "its key"
            self._source.fail(place, f"`{name}` has no key: set {variables}, or add it under `providers`")
        self.configured[name] = found

    def _configure(self, written: str) -> None:
        place = ("providers", written)
        name = self.name(written)
        if name in self.configured:
            self._source.fail(place, f"is another name for `{name}`, which stands here already")
        self.configured[name] = _provider(self._source, place, name, is_known=written in self._names)


def _provider(source: Source, place: Place, name: str, *, is_known: bool) -> ProviderConfig:
    fields = Fields(source, place, ("api_key", "base_url", "dialect", "ca_file"))
    provider = ProviderConfig(
        name=name,
        dialect=fields.choice("dialect", "", ("openai",)) or None,
        base_url=fields.url("base_url"),
        api_keys=fields.secrets("api_key"),
        ca_file=fields.path("ca_file"),
    )
    if is_known:
        if provider.dialect:
            fields.fail("dialect", f"`{name}` is known: its dialect is not to be chosen")
        return provider
    if not _PROVIDER_NAME.fullmatch(name):
        source.fail(place, "a provider's name stands in URLs: use a-z, 0-9, _, . and -")
    if name in _RESERVED:
        source.fail(place, "a path of the gateway's own begins with this name; choose another")
    if not provider.dialect:
        source.fail(place, "is not a known provider; a self-hosted one needs `dialect: openai` and `base_url`")
    if not provider.base_url:
        source.fail(place, "a self-hosted provider needs `base_url`")
    return provider


def _models(source: Source, providers: _Providers) -> dict[str, ModelConfig]:
    return {name: _model(source, name, providers) for name in entries(source, "models")}


def _model(source: Source, name: str, providers: _Providers) -> ModelConfig:
    place = ("models", name)
    fields = Fields(source, place, ("strategy", "targets", "retry"))
    if (strategy := fields.string("strategy")) in _LATER:
        fields.fail("strategy", f"`{strategy}` is not there yet; there are {' and '.join(_STRATEGIES)}")
    targets = tuple(_target(source, here, providers) for here in items(source, (*place, "targets")))
    if not targets:
        source.fail(place, "a model needs at least one target")
    if len(targets) > _MOST_TARGETS:
        source.fail(place, f"a model takes at most {_MOST_TARGETS} targets")
    if not any(target.weight for target in targets):
        source.fail((*place, "targets"), "every weight is 0; one at least must not be")
    return ModelConfig(
        name=name,
        strategy=fields.choice("strategy", "failover", _STRATEGIES),
        targets=targets,
        retry=_retry(source, (*place, "retry")),
    )


def _target(source: Source, place: Place, providers: _Providers) -> TargetConfig:
    fields = Fields(source, place, ("provider", "model", "weight"))
    provider = providers.name(fields.required("provider"))
    providers.require(provider, (*place, "provider"))
    return TargetConfig(
        provider=provider,
        model=fields.required("model"),
        weight=fields.integer("weight", 1, least=0, most=1_000_000),
    )


def _retry(source: Source, place: Place) -> RetryConfig:
    fields = Fields(source, place, ("attempts", "ttft", "timeout"))
    attempts = fields.integer("attempts", RetryConfig().attempts, least=1, most=_MOST_TARGETS)
    return RetryConfig(attempts=attempts, ttft=fields.duration("ttft"), timeout=fields.duration("timeout"))


def _keys(source: Source) -> tuple[KeyConfig, ...]:
    keys: dict[str, KeyConfig] = {}
    for place in items(source, ("keys",)):
        fields = Fields(source, place, ("name", "sha256", "models"))
        name, digest = fields.required("name"), fields.required("sha256")
        if name in keys:
            fields.fail("name", f"`{name}` stands here twice")
        if not _SHA256.fullmatch(digest):
            fields.fail("sha256", "expected the 64 hex digits of the key's SHA-256")
        keys[name] = KeyConfig(name=name, sha256=digest.lower(), models=fields.strings("models"))
    return tuple(keys.values())
