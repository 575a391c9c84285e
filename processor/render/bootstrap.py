"""Envoy's bootstrap: the user's `envoy.yaml` with what `gateway.yaml` says put in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from processor import names
from processor.errors import ConfigError
from processor.render.plain import Plain

_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_PACKAGED = Path(__file__).parent / "envoy.yaml"
_CHECKOUT = Path(__file__).parents[2] / "envoy" / "envoy.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is put into the bootstrap."""

    address: str
    port: int
    admin_port: int | None
    """On loopback; None for the socket."""
    admin_socket: Path
    api_port: int | None = None
    """On loopback; None for the workers' sockets alone."""
    api_sockets: tuple[Path, ...] = ()
    loopback_socket: Path
    body_limit: int
    """Bytes."""
    folder: Path
    """Where clusters.yaml and routes.yaml lie."""
    access_log: Path


def default_bootstrap() -> Path:
    """The bootstrap that comes with the gateway."""
    return _CHECKOUT if _CHECKOUT.exists() else _PACKAGED


def bootstrap(template: Path, settings: Settings) -> Plain:
    """Read the template and put the settings in.

    Raises:
        ConfigError: the template cannot be read, is not YAML, or lacks the listener or files to fill in.
    """
    try:
        document: Plain = yaml.safe_load(template.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read it: {error.strerror}", file=str(template)) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(str(problem), file=str(template), line=mark.line + 1 if mark else 0) from None
    try:
        _fill(document, settings)
    except (KeyError, IndexError, TypeError, StopIteration):
        raise ConfigError(
            "expected a listener `gateway` with a socket address, a listener `loopback` with a pipe, an admin section,"
            " and cds_config and rds by file",
            file=str(template),
        ) from None
    return document


def _fill(document: Plain, settings: Settings) -> None:
    listeners = {listener["name"]: listener for listener in document["static_resources"]["listeners"]}
    listener = listeners["gateway"]
    listener["address"]["socket_address"] |= {"address": settings.address, "port_value": settings.port}
    listener["per_connection_buffer_limit_bytes"] = settings.body_limit
    listeners["loopback"]["address"]["pipe"]["path"] = str(settings.loopback_socket)
    document["admin"]["address"] = _admin_address(settings)
    if settings.api_port:
        document["static_resources"]["listeners"].append(_api_listener(settings.api_port))
        document["static_resources"].setdefault("clusters", []).append(_api_cluster(settings.api_sockets))
    document["dynamic_resources"]["cds_config"]["path_config_source"]["path"] = str(settings.folder / "clusters.yaml")
    for node in _walk(document):
        if "rds" in node:
            source = node["rds"]["config_source"]["path_config_source"]
            source["path"] = str(settings.folder / "routes.yaml")
        if str(node.get("@type", "")).endswith("file.v3.FileAccessLog") and node["path"] == "access.jsonl":
            node["path"] = str(settings.access_log)


def _api_listener(port: int) -> Plain:
    """Takes what is asked about the gateway to a worker."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": names.API_CLUSTER, "timeout": "15s"}}]
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "api",
        "route_config": {"virtual_hosts": [{"name": "api", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    network_filter = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "name": "api",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [network_filter]}],
    }


def _api_cluster(sockets: tuple[Path, ...]) -> Plain:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": str(path)}}}} for path in sockets]
    return {
        "name": names.API_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": names.API_CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _admin_address(settings: Settings) -> Plain:
    if settings.admin_port is None:
        return {"pipe": {"path": str(settings.admin_socket), "mode": 0o600}}
    return {"socket_address": {"address": "127.0.0.1", "port_value": settings.admin_port}}


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a document, anchors' shared ones as often as they stand there."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _walk(value)
    elif isinstance(node, list):
        for item in node:
            yield from _walk(item)
