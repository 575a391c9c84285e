"""The shapes of `gateway.yaml`, which are also what it comes to: checked, resolved, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct, field

from processor.config import readers
from processor.config.readers import Reader

Seconds = Annotated[float, Reader(readers.duration)]
Wait = Annotated[float, Reader(readers.wait)]
Size = Annotated[int, Reader(readers.size)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Address = Annotated[str, Reader(readers.address)]
Name = Annotated[str, Reader(readers.name)]
Label = Annotated[str, Reader(readers.label)]
Sha256 = Annotated[str, Reader(readers.sha256)]
BaseURL = Annotated[str, Reader(readers.base_url)]
FilePath = Annotated[str, Reader(readers.file_path)]
Secret = Annotated[str, Reader(readers.secret)]
Share = Annotated[float, Reader(readers.share)]
Moment = Annotated[float, Reader(readers.moment)]
Patterns = Annotated[tuple[Name, ...], Meta(min_length=1)]
"""Shell-style."""
Amount = Annotated[int, Meta(ge=0, le=10**15)]
Money = Annotated[Decimal, Reader(readers.money)]
Tags = Annotated[Mapping[str, str], Reader(readers.tags)]
Strategy = Literal["weighted", "failover", "least_busy", "latency"]
Lacking = Literal["streamed", "tools", "vision", "structured", "reasoning"]

RedisURL = Annotated[str, Reader(readers.redis_url)]

ONE_OR_MORE = "one or more"
"""In the annotation of a list that may be written as its one item."""


class KnownProvider(NamedTuple):
    """What a configuration needs to know of a vendor that comes with the gateway."""

    name: str
    aliases: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """Environment variables that may hold its key; the first that is set wins."""
    dialects: tuple[str, ...] = ()
    """What it speaks beside its first choice."""
    homeless: bool = False
    """Whether every account has a host of its own, so that `base_url` must be given."""


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may be asked. None: any amount."""

    rpm: Amount | None = None
    """Requests in any 60 seconds."""
    tpm: Amount | None = None
    """Tokens in any 60 seconds, prompts and answers."""
    concurrent: Amount | None = None
    """Requests under way."""
    tokens_per_day: Amount | None = None
    """A calendar day, UTC."""
    tokens_per_month: Amount | None = None


class BudgetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may be spent. None: any amount."""

    usd_per_day: Money | None = None
    """A calendar day, UTC."""
    usd_per_month: Money | None = None
    on_budget: Literal["refuse", "reroute"] = "refuse"
    """Once it is spent: a 402, or only the cheapest targets of a model."""


class ListenConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where clients connect."""

    address: Address = "127.0.0.1"
    port: Port = 8080


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Envoy's admin interface."""

    port: Port | None = None
    """On loopback; None: a Unix socket in the state folder."""
    api: Port | None = None
    """On loopback, the gateway's own: `/explain`, `/keys`, `/limits`; None: Unix sockets in the state folder."""


class ProviderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A vendor or a self-hosted server, as it is reached and paid."""

    name: str
    dialect: str | None = None
    """What a self-hosted server speaks, or a known vendor is to be spoken to in; None for a vendor's first choice."""
    base_url: BaseURL | None = None
    """Without a trailing slash; None only for a known vendor."""
    api_keys: Annotated[tuple[Secret, ...], ONE_OR_MORE, Meta(min_length=1)] = field(name="api_key", default=())
    ca_file: FilePath | None = None
    """An absolute path, opened by Envoy."""
    connect: Wait = 5.0
    """Seconds to a connection: TCP and TLS."""

    def __repr__(self) -> str:
        """Everything but the keys."""
        return (
            f"ProviderConfig(name={self.name!r}, dialect={self.dialect!r}, base_url={self.base_url!r},"
            f" api_keys=<{len(self.api_keys)} hidden>, ca_file={self.ca_file!r})"
        )


class TierConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of requests with a long prompt."""

    above: Amount
    """Input tokens from which on they hold for all of the request."""
    input: Money | None = None
    cached_input: Money | None = None
    output: Money | None = None


class PriceConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs, and what it takes. None: not known, or not paid for."""

    name: str
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "USD"
    input: Money | None = None
    """A million tokens, as the next two."""
    cached_input: Money | None = None
    """None: as other input."""
    output: Money | None = None
    image: Money | None = None
    """A picture."""
    second: Money | None = None
    """A second of sound that is transcribed."""
    character: Money | None = None
    """A million characters that are spoken."""
    request: Money | None = None
    """Beside all else."""
    longer: Annotated[tuple[TierConfig, ...], ONE_OR_MORE] = ()
    context: Annotated[int, Meta(ge=1)] | None = None
    """Tokens that the model takes, prompt and answer."""
    lacks: Annotated[tuple[Lacking, ...], ONE_OR_MORE] = ()


class TargetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One candidate to answer a model."""

    provider: str
    model: Name
    weight: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    context: Annotated[int, Meta(ge=1)] | None = None
    """Tokens that the model takes, prompt and answer; None: as the price table has it."""
    lacks: Annotated[tuple[Lacking, ...], ONE_OR_MORE] = ()
    """What the model cannot do."""
    ttft: Wait | None = None
    """Instead of the model's, as are `idle` and `timeout`, which is for one attempt here."""
    idle: Wait | None = None
    timeout: Wait | None = None
    limits: LimitsConfig = LimitsConfig()


class RetryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of a model's targets are tried, and how long each is waited for."""

    attempts: Annotated[int, Meta(ge=1)] = 3
    ttft: Wait | None = None
    """Seconds to the first content of an attempt; None: no limit."""
    idle: Wait | None = None
    """Seconds between two pieces of a stream; None: no limit."""
    timeout: Wait | None = None
    """Seconds a whole request may take; None: no limit."""
    budget: Share = 0.2
    """Of the model's live requests, how many may be asking a target again that has failed them; three always may."""


class CacheConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which answers are kept, and whom they serve."""

    mode: Literal["exact"] = "exact"
    """Only a request that says the same is given the answer of an earlier one."""
    ttl: Wait = 3600.0
    """Seconds an answer is kept."""
    scope: Literal["key", "team", "all"] = "key"
    """Who shares it: nobody beside the key that had it, the key's team, or all who may use the model."""


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name clients may ask for, and who answers to it."""

    name: str
    targets: Annotated[tuple[TargetConfig, ...], Meta(min_length=1)]
    strategy: Strategy = "failover"
    retry: RetryConfig = RetryConfig()
    affinity: Annotated[tuple[Literal["session", "user", "prompt"], ...], ONE_OR_MORE] = ()
    """What keeps requests at the same target, the first that a request has; empty: nothing."""
    drop_params: bool | None = None
    """None: as the whole gateway has it."""
    on_context_overflow: Literal["next", "error"] = "next"
    """Whether a request too long for a target goes on to one with a larger context."""
    rescue: Literal["restart"] | None = None
    """Whether a stream that broke off after content is answered to its end by another target."""
    cache: CacheConfig | None = None
    """None: every request is answered anew."""
    limits: LimitsConfig = LimitsConfig()
    budget: BudgetConfig = BudgetConfig()
    on_store_error: Literal["allow", "deny"] = "allow"
    """Where Redis cannot be asked about limits: decide by local counts, or refuse."""


class KeyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway key, known by its hash."""

    name: Label
    sha256: Sha256
    """Hex, in lower case."""
    team: str = ""
    """One of `teams`, whose limits and budget hold for all of its keys together; or a name to sum up by."""
    models: Patterns = ()
    """Empty: every model."""
    providers: Patterns = ()
    """Whose targets may answer; empty: every provider's."""
    limits: LimitsConfig = LimitsConfig()
    budget: BudgetConfig = BudgetConfig()
    expires: Moment | None = None
    """Seconds since the epoch."""
    tags: Tags = {}
    """For people to sort by."""


class TeamConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the keys of a team share."""

    name: str
    limits: LimitsConfig = LimitsConfig()
    budget: BudgetConfig = BudgetConfig()


class CircuitConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a target that fails is left alone, and for how long."""

    failures: Annotated[int, Meta(ge=0)] = 5
    """In a row; 0: it never is."""
    open: Seconds = 10.0
    """Seconds, the first time; twice as long each time its probe fails."""
    longest: Seconds = 300.0
    """Seconds at most, whatever a vendor asks for."""
    probe: Wait | None = None
    """Seconds between probes of its own at a target that is left alone; None: a client's request is the probe."""


class RedisConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What replicas share: limits, keys made at run time, the state of circuits."""

    url: RedisURL
    """With its password, if it has one."""
    prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{1,64}$")] = "gateway"
    """Of every key, and their hash tag: those of one gateway stay together in a cluster."""
    timeout: Wait = 0.05
    """Seconds that a request waits for it."""

    def __repr__(self) -> str:
        """Everything but the address, which may hold a password."""
        return f"RedisConfig(url=<hidden>, prefix={self.prefix!r}, timeout={self.timeout!r})"


class PassthroughConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for the raw way in. By default nothing does."""

    key: Literal["none", "vendor", "gateway"] = "none"
    """Who a client is: nobody, the hash of its vendor key, or the gateway key it sends in `x-gateway-key`."""
    providers: Patterns = ()
    """Who may be asked; empty: every provider. A gateway key's own list holds as well."""
    limits: LimitsConfig = LimitsConfig()
    """For each vendor key; a gateway key has its own."""


class UsageConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where usage records go."""

    sink: Literal["sqlite", "jsonl"] = "sqlite"
    path: FilePath | None = None
    """Absolute; None: in the state folder."""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. Mappings are by name, in the file's order."""

    file: str = ""
    """Where it was read; empty for the embedded one."""
    listen: ListenConfig = ListenConfig()
    admin: AdminConfig = AdminConfig()
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    body_limit: Size = 32 * 1024 * 1024
    """Bytes."""
    cache_size: Size = 64 * 1024 * 1024
    """Bytes of answers that each worker keeps where there is no Redis."""
    providers: Mapping[str, ProviderConfig] = field(default_factory=dict)
    models: Mapping[str, ModelConfig] = field(default_factory=dict)
    keys: tuple[KeyConfig, ...] = ()
    teams: Mapping[str, TeamConfig] = field(default_factory=dict)
    prices: Mapping[str, PriceConfig] = field(default_factory=dict)
    """By `provider/model`, or a shell-style pattern of it; before those that come with the gateway."""
    rates: Annotated[Mapping[str, Decimal], Reader(readers.rates)] = field(default_factory=dict)
    """A currency's worth in US dollars."""
    passthrough: PassthroughConfig = PassthroughConfig()
    redis: RedisConfig | None = None
    usage: UsageConfig = UsageConfig()
    circuit: CircuitConfig = CircuitConfig()
    drop_params: bool = False
    """Whether parameters that a target cannot do are left out; if not, they are a 400."""
    demo: bool = False
    drain: Seconds = 30.0
    """Seconds that streams under way may take to finish on a stop."""
