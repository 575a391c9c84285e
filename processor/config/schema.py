"""What a configuration comes to, checked and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProvider:
    """What the configuration needs to know of a vendor that comes with the gateway."""

    name: str
    aliases: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenConfig:
    """Where clients connect."""

    address: str = "127.0.0.1"
    port: int = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """Envoy's admin interface, on loopback."""

    port: int | None = None
    """None: any free port with `up`, the bootstrap's own elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """One vendor, or one self-hosted server."""

    name: str
    dialect: str | None = None
    """Given for self-hosted servers only."""
    base_url: str | None = None
    """Without a trailing slash."""
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetConfig:
    """One candidate of a model."""

    provider: str
    model: str
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """How often and how long a model's targets are tried; times in seconds."""

    attempts: int = 3
    ttft: float | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A name clients may ask for, and who answers to it."""

    name: str
    targets: tuple[TargetConfig, ...]
    strategy: str = "failover"
    retry: RetryConfig = field(default_factory=RetryConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConfig:
    """A gateway key, by its hash."""

    name: str
    sha256: str
    """Hex, lower case."""
    models: tuple[str, ...] = ()
    """Shell-style patterns; none allows all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageConfig:
    """Where usage records go."""

    sink: str = "sqlite"
    path: str | None = None
    """None: in the state folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of `gateway.yaml`."""

    file: str = ""
    listen: ListenConfig = field(default_factory=ListenConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    workers: int = 1
    body_limit: int = 32 * MIB
    """Bytes of a request's body in OpenAI mode."""
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    models: Mapping[str, ModelConfig] = field(default_factory=dict)
    keys: tuple[KeyConfig, ...] = ()
    usage: UsageConfig = field(default_factory=UsageConfig)
    demo: bool = False
    drain: float = 30.0
    """Seconds that requests under way may take to finish on a stop."""
