"""`gateway.yaml`: read strictly into frozen values, every mistake one line with file, line and path."""

from __future__ import annotations

from processor.config.defaults import default
from processor.config.fill import filled
from processor.config.load import load
from processor.config.schema import (
    AdminConfig,
    BudgetConfig,
    Config,
    KeyConfig,
    KnownProvider,
    LimitsConfig,
    ListenConfig,
    ModelConfig,
    PassthroughConfig,
    PriceConfig,
    ProviderConfig,
    RedisConfig,
    RetryConfig,
    TargetConfig,
    TeamConfig,
    UsageConfig,
)

__all__ = [
    "AdminConfig",
    "BudgetConfig",
    "Config",
    "KeyConfig",
    "KnownProvider",
    "LimitsConfig",
    "ListenConfig",
    "ModelConfig",
    "PassthroughConfig",
    "PriceConfig",
    "ProviderConfig",
    "RedisConfig",
    "RetryConfig",
    "TargetConfig",
    "TeamConfig",
    "UsageConfig",
    "default",
    "filled",
    "load",
]
