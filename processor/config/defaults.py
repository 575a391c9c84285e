"""The configuration of a gateway without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from processor.config.load import environment_key
from processor.config.schema import Config, KeyConfig, KnownProvider, ProviderConfig
from processor.errors import ConfigError


def default(*, known: Sequence[KnownProvider], environ: Mapping[str, str], key_sha256: str) -> Config:
    """The demo vendor, every provider whose key is in the environment, and one key that may use all of it.

    Raises:
        ConfigError: an environment variable holds something that cannot be a key.
    """
    providers = {}
    for provider in known:
        try:
            key = environment_key(provider, environ)
        except ValueError as error:
            raise ConfigError(str(error), path=f"providers.{provider.name}") from None
        if key and not provider.homeless:
            providers[provider.name] = ProviderConfig(name=provider.name, api_keys=(key,))
    return Config(
        providers=MappingProxyType(providers), keys=(KeyConfig(name="default", sha256=key_sha256),), demo=True
    )
