"""Reads `gateway.yaml`, and checks what must hold between its sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec.structs import replace

from processor.config.fill import fill, suggestion
from processor.config.readers import NAME, header_safe
from processor.config.schema import (
    BudgetConfig,
    Config,
    KeyConfig,
    KnownProvider,
    LimitsConfig,
    ModelConfig,
    ProviderConfig,
    TargetConfig,
    TeamConfig,
)
from processor.config.source import Place, Source, read

DEMO = "demo"
"""The built-in vendor: no provider of the file, switched on by the key of the same name."""
RESERVED = frozenset(
    {"v1", "chat", "embeddings", "images", "models", "responses", "messages", "audio", "rerank", "realtime"}
    | {"completions", "moderations", "files", "batches", "healthz", DEMO}
)
"""First segments of the gateway's own paths; a provider's name stands in the same place."""
_PROVIDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def load(
    path: Path, *, known: Sequence[KnownProvider], environ: Mapping[str, str], dialects: Sequence[str] = ("openai",)
) -> Config:
    """Read a configuration file; `dialects` are what a self-hosted server may speak.

    Raises:
        ConfigError: the mistake that stands first in it, with file, line and path.
    """
    source = read(path, environ)
    config = fill(source, Config, file=str(path))
    providers = _Providers(source, config, known, environ, dialects)
    providers.check()
    models = {model.name: _model(source, model, providers) for model in config.models.values()}
    _check_keys(source, config.keys)
    if config.workers > 1 and config.redis is None and _limits_anything(config):
        source.report(
            ("workers",), "each worker would count for itself: with limits or budgets more than one needs `redis`"
        )
    source.verdict()
    return replace(config, providers=MappingProxyType(providers.found), models=MappingProxyType(models))


def environment_key(provider: KnownProvider, environ: Mapping[str, str]) -> str | None:
    """The key a known provider's environment variable holds; None when none is set.

    Raises:
        ValueError: it holds something that cannot be a key, naming the variable.
    """
    variable = next((name for name in provider.env if environ.get(name, "").strip()), None)
    return header_safe(environ[variable], f"the environment variable {variable}") if variable else None


class _Providers:
    """The file's providers under their proper names, and those that a target switches on by an environment variable."""

    def __init__(
        self,
        source: Source,
        config: Config,
        known: Iterable[KnownProvider],
        environ: Mapping[str, str],
        dialects: Sequence[str],
    ) -> None:
        self._source = source
        self._dialects = dialects
        self._environ = environ
        self._demo = config.demo
        self._known = {name: provider for provider in known for name in (provider.name, *provider.aliases)}
        self._entries = config.providers
        self.found: dict[str, ProviderConfig] = {}
        # A broken entry has been reported; its name is there all the same.
        self._written = {self.proper(name) for name in _keys_of(source.values, "providers")}

    def proper(self, name: str) -> str:
        """A provider's name, for any spelling of it."""
        return self._known[name].name if name in self._known else name

    def check(self) -> None:
        """Take the file's entries."""
        for name, entry in self._entries.items():
            place = ("providers", name)
            if name == DEMO:
                self._source.report(place, "the demo vendor takes no entry: switch it on with `demo: true`")
            elif (proper := self.proper(name)) in self.found:
                self._source.report(place, f"another name for {proper}, which stands here already")
            elif name in self._known:
                self.found[proper] = self._vendor(place, replace(entry, name=proper))
            else:
                self._check_self_hosted(place, entry)
                self.found[name] = entry

    def require(self, place: Place, name: str) -> None:
        """Report a target's provider that cannot be used; switch one on whose environment variable is set."""
        if name == DEMO:
            if not self._demo:
                self._source.report(place, "the demo vendor is off: switch it on with `demo: true`")
        elif name not in self._written:
            if name not in self._known:
                near = suggestion(name, [*self._known, *self._written])
                self._source.report(place, f"there is no provider of this name{near}")
            elif self._known[name].homeless:
                self._source.report(place, f"{name} needs an entry under providers, with a base_url")
            elif key := self._environment_key(place, name, "or add it under providers"):
                self.found[name] = ProviderConfig(name=name, api_keys=(key,))

    def _vendor(self, place: Place, entry: ProviderConfig) -> ProviderConfig:
        known = self._known[entry.name]
        if entry.dialect and not known.dialects:
            self._source.report((*place, "dialect"), f"{entry.name} is a known provider: its dialect is known too")
        elif entry.dialect:
            self._check_dialect(place, entry.dialect, known.dialects)
        if known.homeless and not entry.base_url and (*place, "base_url") not in self._source.lines:
            self._source.report(place, f"base_url is missing: every account of {entry.name} has a host of its own")
        # A key from the environment is not for a host it was not made for.
        if entry.base_url or (*place, "api_key") in self._source.lines:
            return entry
        # A certificate has its use without a key, in passthrough; an entry that says nothing has none.
        key = self._environment_key(place, entry.name, "or give it an api_key", required=not entry.ca_file)
        return replace(entry, api_keys=(key,) if key else ())

    def _check_self_hosted(self, place: Place, entry: ProviderConfig) -> None:
        if not _PROVIDER_NAME.fullmatch(entry.name):
            self._source.report(place, "a provider's name stands in URLs: use letters, digits, dots, _ and -")
        elif entry.name in RESERVED:
            self._source.report(place, "this name is reserved: the gateway's own paths begin with it")
        elif not entry.dialect and (*place, "dialect") not in self._source.lines:
            near = suggestion(entry.name, self._known)
            self._source.report(
                place, f"not a known provider{near or ':'} a self-hosted one needs `dialect: openai` and a base_url"
            )
        elif entry.dialect and not self._check_dialect(place, entry.dialect, self._dialects):
            pass
        elif not entry.base_url and (*place, "base_url") not in self._source.lines:
            self._source.report(place, "base_url is missing: a self-hosted provider needs one")

    def _check_dialect(self, place: Place, dialect: str, offered: Sequence[str]) -> bool:
        if dialect in offered:
            return True
        self._source.report(
            (*place, "dialect"), f"there is no dialect of this name here; known: {', '.join(sorted(offered))}"
        )
        return False

    def _environment_key(self, place: Place, name: str, otherwise: str, *, required: bool = True) -> str | None:
        provider = self._known[name]
        try:
            key = environment_key(provider, self._environ)
        except ValueError as error:
            self._source.report(place, str(error))
            return None
        if key is None and required:
            remedy = f"set {' or '.join(provider.env)}, {otherwise}" if provider.env else otherwise.removeprefix("or ")
            self._source.report(place, f"{name} has no key: {remedy}")
        return key


def _model(source: Source, model: ModelConfig, providers: _Providers) -> ModelConfig:
    """The model with its targets' providers under their proper names."""
    place = ("models", model.name)
    if not NAME.fullmatch(model.name):
        source.report(place, "a model's name stands in headers: use 1 to 256 visible ASCII characters without spaces")
    if not any(target.weight for target in model.targets):
        source.report((*place, "targets"), "every weight is 0: one at least must be more")
    targets: list[TargetConfig] = []
    for number, target in enumerate(model.targets):
        proper = providers.proper(target.provider)
        providers.require((*place, "targets", number, "provider"), proper)
        targets.append(replace(target, provider=proper))
    return replace(model, targets=tuple(targets))


def _check_keys(source: Source, keys: Sequence[KeyConfig]) -> None:
    names: set[str] = set()
    hashes: dict[str, str] = {}
    for number, key in enumerate(keys):
        if key.name in names:
            source.report(("keys", number, "name"), "another key has this name")
        elif key.sha256 in hashes:
            source.report(("keys", number, "sha256"), f"the same key as {hashes[key.sha256]}'s")
        names.add(key.name)
        hashes.setdefault(key.sha256, key.name)


def _limits_anything(config: Config) -> bool:
    models = config.models.values()
    owners: tuple[KeyConfig | TeamConfig | ModelConfig, ...] = (*config.keys, *config.teams.values(), *models)
    limits = [owner.limits for owner in owners] + [target.limits for model in models for target in model.targets]
    return any(limit != LimitsConfig() for limit in (*limits, config.passthrough.limits)) or any(
        owner.budget != BudgetConfig() for owner in owners
    )


def _keys_of(values: object, section: str) -> list[str]:
    entries = values.get(section) if isinstance(values, dict) else None
    return list(entries) if isinstance(entries, dict) else []
