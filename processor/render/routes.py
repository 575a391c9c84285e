"""Envoy's route table: OpenAI's endpoints, each provider's passthrough, and an answer for everything else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from functools import cache

from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    Route,
    RouteAction,
    RouteActionUpgradeConfig,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from processor import names
from processor.endpoints import ENDPOINTS, HEALTH_PATH, Endpoint, Streams
from processor.errors import GatewayError, UnsupportedOperation
from processor.render.filters import relaying, switched_on
from processor.render.plain import Plain, plain, resource
from processor.schema.error import error_body
from processor.topology import Origin, Provider, Topology

_NO_LIMIT = dt.timedelta()
_WEBSOCKET_IDLE = dt.timedelta(hours=1)
_PREFIXES = ("", "/v1")
"""Every path works at the root and under /v1: a base URL may or may not end in it."""


def route_configuration(topology: Topology) -> Plain:
    """The whole table, in the order Envoy tries it."""
    routes = [_health(), *_openai_routes()]
    for provider in topology.providers.values():
        routes += _passthrough_routes(provider, gated=topology.gated)
    routes.append(_unknown(topology))
    table = RouteConfiguration(name="gateway", virtual_hosts=[VirtualHost(name="gateway", domains=["*"])])
    document = resource(table, "envoy.config.route.v3.RouteConfiguration")
    document["virtual_hosts"][0]["routes"] = routes
    return document


def _health() -> Plain:
    body = DataSource(inline_string='{"status":"ok"}')
    route = Route(
        name="local.health",
        match=RouteMatch(path=HEALTH_PATH),
        direct_response=DirectResponseAction(status=200, body=body),
        response_headers_to_add=[_set("content-type", "application/json")],
    )
    return plain(route)


def _openai_routes() -> Iterator[Plain]:
    for endpoint in ENDPOINTS:
        for match in _endpoint_matches(endpoint):
            if endpoint.streams is not Streams.NEVER:
                yield _openai(endpoint, match, relayed=True)
            yield _openai(endpoint, match, relayed=False)
        for match in _endpoint_matches(endpoint):
            yield _wrong_method(endpoint, match)


def _endpoint_matches(endpoint: Endpoint) -> Iterator[RouteMatch]:
    for prefix in _PREFIXES:
        yield RouteMatch(path=prefix + endpoint.path)
        if endpoint.subpaths:
            yield RouteMatch(prefix=prefix + endpoint.path + "/")


def _openai(endpoint: Endpoint, match: RouteMatch, *, relayed: bool) -> Plain:
    """A request finds the one without the relay; with the header that the processor may set it finds the other one."""
    match.headers = [HeaderMatcher(name=":method", string_match=StringMatcher(exact=endpoint.method))]
    if relayed:
        match.headers.append(HeaderMatcher(name=names.RELAY_HEADER, present_match=True))
    route = Route(
        name=f"openai.{endpoint.operation}",
        match=match,
        route=RouteAction(
            cluster_header=names.CLUSTER_HEADER,
            timeout=_NO_LIMIT,
            retry_policy=_retry_policy(),
        ),
        response_headers_to_add=[_request_id()],
    )
    relay = relaying() if relayed else switched_on(names.RELAY_FILTER)
    return plain(route) | {"typed_per_filter_config": switched_on(names.DOWNSTREAM_FILTER) | relay}


def _retry_policy() -> RetryPolicy:
    """How many tries there are is the processor's to say, in `x-envoy-max-retries`.

    The first comes nearly at once, for it goes to another target as a rule; the later ones wait longer, by chance.
    """
    return RetryPolicy(
        retry_on="connect-failure,refused-stream,reset,retriable-status-codes",
        num_retries=0,
        retriable_status_codes=[names.RETRY_STATUS],
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=dt.timedelta(milliseconds=5), max_interval=dt.timedelta(milliseconds=250)
        ),
    )


def _wrong_method(endpoint: Endpoint, match: RouteMatch) -> Plain:
    error = UnsupportedOperation(
        f"{endpoint.path} takes {endpoint.method} only.", status=405, code="method_not_allowed"
    )
    return _error_route("local.method_not_allowed", match, error, {"allow": endpoint.method})


def _passthrough_routes(provider: Provider, *, gated: bool) -> Iterator[Plain]:
    hosts = sorted(provider.hosts.items(), key=lambda item: -len(item[0]))
    for path, origin in (*hosts, ("/", provider.origin)):
        action, websocket = _passthrough_action(provider, origin, path), _websocket_action(provider, origin, path)
        for name in (provider.name, *provider.vendor.aliases):
            for prefix in _PREFIXES:
                yield _passthrough(provider, f"{prefix}/{name}{path}", websocket, websocket=True, gated=gated)
                yield _passthrough(provider, f"{prefix}/{name}{path}", action, websocket=False, gated=gated)


def _passthrough(provider: Provider, prefix: str, action: Plain, *, websocket: bool, gated: bool) -> Plain:
    """WebSockets are not metered: an observed upgrade would have to be parsed in frames."""
    filters = switched_on(names.PASSTHROUGH_HEADERS_FILTER) | (switched_on(names.GATE_FILTER) if gated else {})
    return {
        "name": f"passthrough.{provider.name}" + (".websocket" if websocket else ""),
        "match": {"prefix": prefix, **(_upgrade() if websocket else {})},
        "route": action,
        "typed_per_filter_config": filters if websocket else filters | switched_on(names.METER_FILTER),
    }


@cache
def _upgrade() -> Plain:
    upgrade = HeaderMatcher(name="upgrade", string_match=StringMatcher(exact="websocket", ignore_case=True))
    return plain(RouteMatch(headers=[upgrade]))


def _passthrough_action(provider: Provider, origin: Origin, path: str) -> Plain:
    action = RouteAction(
        cluster=provider.cluster_of(origin),
        prefix_rewrite=origin.path + path,
        host_rewrite_literal=origin.authority,
        timeout=_NO_LIMIT,
    )
    return plain(action)


def _websocket_action(provider: Provider, origin: Origin, path: str) -> Plain:
    action = RouteAction(
        cluster=names.websocket_cluster(provider.cluster_of(origin)),
        prefix_rewrite=origin.path + path,
        host_rewrite_literal=origin.authority,
        timeout=_NO_LIMIT,
        idle_timeout=_WEBSOCKET_IDLE,
        upgrade_configs=[RouteActionUpgradeConfig(upgrade_type="websocket")],
    )
    return plain(action)


def _unknown(topology: Topology) -> Plain:
    known = ", ".join(sorted(topology.providers))
    paths = ", ".join(f"/v1{endpoint.path}" for endpoint in ENDPOINTS)
    error = UnsupportedOperation(
        f"Nothing answers on this path. It is neither one of OpenAI's endpoints here ({paths}) nor"
        f" /{{provider}}/{{vendor path}} with a known provider: {known}.",
        code="unknown_path",
    )
    return _error_route("local.not_found", RouteMatch(prefix="/"), error, {})


def _error_route(name: str, match: RouteMatch, error: GatewayError, headers: Mapping[str, str]) -> Plain:
    sent = [_set("content-type", "application/json"), _set(names.ERROR_HEADER, error.code), _request_id()]
    body = DataSource(inline_string=error_body(error).decode())
    route = Route(
        name=name,
        match=match,
        direct_response=DirectResponseAction(status=error.status, body=body),
        response_headers_to_add=sent + [_set(key, value) for key, value in headers.items()],
    )
    return plain(route)


def _request_id() -> HeaderValueOption:
    return _set(names.CLIENT_REQUEST_ID_HEADER, names.REQUEST_ID_FORMAT)


def _set(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
