"""`gateway.yaml`: read strictly into frozen values, every mistake one line with file, line and path."""

from __future__ import annotations

from processor.config.defaults import default
from processor.config.load import load
from processor.config.schema import (
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

__all__ = [
    "AdminConfig",
    "Config",
    "KeyConfig",
    "KnownProvider",
    "ListenConfig",
    "ModelConfig",
    "ProviderConfig",
    "RetryConfig",
    "TargetConfig",
    "UsageConfig",
    "default",
    "load",
]
