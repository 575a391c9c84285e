"""The configuration of a gateway without a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from processor.config.load import from_environment
from processor.config.schema import Config, KeyConfig, KnownProvider


def default(*, known: Sequence[KnownProvider], environ: Mapping[str, str], key_sha256: str) -> Config:
    """The demo vendor, every provider whose key is in the environment, and one key that may use all of it."""
    found = (from_environment(provider, environ) for provider in known)
    return Config(
        providers={provider.name: provider for provider in found if provider},
        keys=(KeyConfig(name="default", sha256=key_sha256),),
        demo=True,
    )
