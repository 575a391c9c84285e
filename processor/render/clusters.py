"""Envoy's clusters: a provider's hosts, a model's targets as a composite for each to start from, the processor."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCustomClusterType,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterLbPolicy,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    DataSource,
    Http1ProtocolOptions,
    Http1ProtocolOptionsHeaderKeyFormat,
    Http2ProtocolOptions,
    Metadata,
    Pipe,
    SocketAddress,
    TransportSocket,
    TypedExtensionConfig,
    UpstreamHttpProtocolOptions,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.route.v3 import RouteActionHashPolicy, RouteActionHashPolicyHeader
from envoy_data_plane.envoy.extensions.clusters.composite.v3 import ClusterConfig, ClusterConfigClusterEntry
from envoy_data_plane.envoy.extensions.clusters.dynamic_forward_proxy.v3 import (
    ClusterConfig as DynamicForwardProxyConfig,
)
from envoy_data_plane.envoy.extensions.common.dynamic_forward_proxy.v3 import DnsCacheConfig
from envoy_data_plane.envoy.extensions.http.header_formatters.preserve_case.v3 import (
    PreserveCaseFormatterConfig,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsAutoHttpConfig,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import AddressMatcher
from envoy_data_plane.google.protobuf import Any, Struct
from envoy_data_plane.xds.core.v3 import CidrRange

from processor import names
from processor.render.filters import upstream_filters
from processor.render.plain import Plain, plain, resource
from processor.topology import Origin, Provider, Topology

_CONNECT_TIMEOUT = dt.timedelta(seconds=5)
_BUFFER_BYTES = 32 * 1024 * 1024  # what a retry may send again: as much as the listener takes
_NEVER_FULL = 1024 * 1024 * 1024
_UNLIMITED = 1_000_000  # Envoy's defaults (1024, and 3 retries) turn long streams and outages into 503s
_OPTIONS_KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters(topology: Topology, *, sockets: Sequence[Path], ca_file: str) -> Iterator[Plain]:
    """Every cluster the routes may name."""
    yield _processor(sockets)
    for scheme, name in names.FETCH_CLUSTERS.items():
        yield _fetch(name, ca_file if scheme == "https" else "")
    for provider in topology.providers.values():
        for name, origin in provider.clusters():
            yield _hosts(name, provider, origin, provider.ca_file or ca_file)
            yield _hosts(name, provider, origin, provider.ca_file or ca_file, websocket=True)
    for route in topology.routes():
        yield _composite(names.route_cluster(route), [names.provider_cluster(name) for name in route])


def _composite(name: str, members: Sequence[str]) -> Plain:
    """Attempt n goes to member n. There may be a thousand of these: what they share is made once."""
    cluster = dict(_any_composite())
    kind = cluster["cluster_type"]
    config = kind["typed_config"] | {"clusters": [{"name": member} for member in members]}
    return cluster | {"name": name, "cluster_type": kind | {"typed_config": config}}


@cache
def _any_composite() -> Plain:
    cluster = Cluster(
        name="any",
        connect_timeout=_CONNECT_TIMEOUT,
        lb_policy=ClusterLbPolicy.CLUSTER_PROVIDED,
        cluster_type=ClusterCustomClusterType(
            name="envoy.clusters.composite",
            typed_config=Any.pack(ClusterConfig(clusters=[ClusterConfigClusterEntry(name="any")])),
        ),
        per_connection_buffer_limit_bytes=_BUFFER_BYTES,
    )
    return _complete(cluster, _composite_options())


def _hosts(name: str, provider: Provider, origin: Origin, ca_file: str, *, websocket: bool = False) -> Plain:
    name = names.websocket_cluster(name) if websocket else name
    endpoint = LbEndpoint(
        endpoint=Endpoint(address=_address(origin), hostname=origin.authority),
        metadata=Metadata(filter_metadata={names.RECORD_NAMESPACE: Struct.from_dict({"provider": provider.name})}),
    )
    cluster = Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC if origin.pipe else ClusterDiscoveryType.LOGICAL_DNS,
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
        wait_for_warm_on_init=False if not origin.pipe else None,
        connect_timeout=dt.timedelta(seconds=provider.connect),
        load_assignment=_endpoints(name, [endpoint]),
        per_connection_buffer_limit_bytes=_BUFFER_BYTES,
        transport_socket=_tls(origin, ca_file, websocket=websocket) if origin.scheme == "https" else None,
    )
    return _complete(cluster, _http_options(http1_only=websocket or origin.scheme == "http"))


def _fetch(name: str, ca_file: str) -> Plain:
    """Any host, by the request's authority; over TLS if there is a CA file."""
    # Whatever a name resolves to, it is not a cloud's metadata service.
    link_local = AddressMatcher(ranges=[CidrRange(address_prefix="169.254.0.0", prefix_len=16)])
    dns = DnsCacheConfig(
        name="fetch", dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED, resolved_address_filter=link_local
    )
    cluster = Cluster(
        name=name,
        connect_timeout=_CONNECT_TIMEOUT,
        lb_policy=ClusterLbPolicy.CLUSTER_PROVIDED,
        cluster_type=ClusterCustomClusterType(
            name="envoy.clusters.dynamic_forward_proxy",
            typed_config=Any.pack(
                DynamicForwardProxyConfig(dns_cache_config=dns, allow_insecure_cluster_options=not ca_file)
            ),
        ),
        transport_socket=_trusting(ca_file) if ca_file else None,
    )
    return _complete(cluster, _fetch_options(tls=bool(ca_file)))


@cache
def _fetch_options(*, tls: bool) -> Plain:
    explicit = HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions())
    by_authority = UpstreamHttpProtocolOptions(auto_sni=True, auto_san_validation=True) if tls else None
    return _options(HttpProtocolOptions(explicit_http_config=explicit, upstream_http_protocol_options=by_authority))


def _trusting(ca_file: str) -> TransportSocket:
    validation = CertificateValidationContext(trusted_ca=DataSource(filename=ca_file))
    context = UpstreamTlsContext(common_tls_context=CommonTlsContext(validation_context=validation))
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context))


def _processor(sockets: Sequence[Path]) -> Plain:
    """The workers. Both filters and every retry of a request reach the same one by its request id."""
    endpoints = [LbEndpoint(endpoint=Endpoint(address=Address(pipe=Pipe(path=str(path))))) for path in sockets]
    by_request = RouteActionHashPolicy(header=RouteActionHashPolicyHeader(header_name=names.STREAM_REQUEST_ID))
    options = HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=Http2ProtocolOptions()),
        hash_policy=[by_request],
    )
    cluster = Cluster(
        name=names.PROCESSOR_CLUSTER,
        type=ClusterDiscoveryType.STATIC,
        lb_policy=ClusterLbPolicy.MAGLEV,
        connect_timeout=_CONNECT_TIMEOUT,
        load_assignment=_endpoints(names.PROCESSOR_CLUSTER, endpoints),
        per_connection_buffer_limit_bytes=_NEVER_FULL,
    )
    return _complete(cluster, _options(options))


@cache
def _http_options(*, http1_only: bool) -> Plain:
    """Plain hosts and WebSockets speak HTTP/1.1; over TLS the vendor's ALPN chooses."""
    http1 = Http1ProtocolOptions(header_key_format=_preserve_case())
    if http1_only:
        explicit = HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=http1)
        return _options(HttpProtocolOptions(explicit_http_config=explicit))
    http2 = Http2ProtocolOptions()
    auto = HttpProtocolOptionsAutoHttpConfig(http_protocol_options=http1, http2_protocol_options=http2)
    return _options(HttpProtocolOptions(auto_config=auto))


@cache
def _composite_options() -> Plain:
    explicit = HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions())
    return _options(HttpProtocolOptions(explicit_http_config=explicit, http_filters=upstream_filters()))


def _preserve_case() -> Http1ProtocolOptionsHeaderKeyFormat:
    return Http1ProtocolOptionsHeaderKeyFormat(
        stateful_formatter=TypedExtensionConfig(
            name="envoy.http.stateful_header_formatters.preserve_case",
            typed_config=Any.pack(PreserveCaseFormatterConfig()),
        )
    )


def _tls(origin: Origin, ca_file: str, *, websocket: bool) -> TransportSocket:
    # The name is fixed, not taken from the request: a pool is picked before the upstream filter sets the authority.
    context = UpstreamTlsContext(
        sni=origin.host,
        auto_sni_san_validation=True,
        common_tls_context=CommonTlsContext(
            validation_context=CertificateValidationContext(trusted_ca=DataSource(filename=ca_file)),
            alpn_protocols=["http/1.1"] if websocket else [],
        ),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context))


def _address(origin: Origin) -> Address:
    if origin.pipe:
        return Address(pipe=Pipe(path=origin.pipe))
    return Address(socket_address=SocketAddress(address=origin.host, port_value=origin.port))


def _endpoints(name: str, endpoints: list[LbEndpoint]) -> ClusterLoadAssignment:
    return ClusterLoadAssignment(cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=endpoints)])


@cache
def _no_limits() -> Plain:
    limits = CircuitBreakersThresholds(
        max_connections=_UNLIMITED,
        max_pending_requests=_UNLIMITED,
        max_requests=_UNLIMITED,
        max_retries=_UNLIMITED,
    )
    return plain(CircuitBreakers(thresholds=[limits]))


def _options(options: betterproto2.Message) -> Plain:
    return {_OPTIONS_KEY: plain(Any.pack(options))}


def _complete(cluster: Cluster, options: Plain) -> Plain:
    """Add what many clusters share."""
    shared = {"circuit_breakers": _no_limits(), "typed_extension_protocol_options": options}
    return resource(cluster, "envoy.config.cluster.v3.Cluster") | shared
