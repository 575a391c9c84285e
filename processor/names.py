"""The names the processor and Envoy's configuration agree on: filters, headers, metadata, clusters, routes."""

from __future__ import annotations

from collections.abc import Sequence

DOWNSTREAM_FILTER = "gateway.downstream"
UPSTREAM_FILTER = "gateway.upstream"
RELAY_FILTER = "gateway.relay"
METER_FILTER = "gateway.meter"
GATE_FILTER = "gateway.gate"
PASSTHROUGH_HEADERS_FILTER = "gateway.passthrough_headers"

# gRPC initial metadata of every ext_proc stream.
STREAM_FILTER = "x-filter"
STREAM_REQUEST_ID = "x-rid"

# Every header under this prefix is ours: removed from what a client sends before anything else looks at it.
INTERNAL_PREFIX = "x-gateway-"
REQUEST_ID_HEADER = "x-gateway-request-id"
CLUSTER_HEADER = "x-gateway-cluster"
RELAY_HEADER = "x-gateway-relay"
MAX_RETRIES_HEADER = "x-envoy-max-retries"
TRY_TIMEOUT_HEADER = "x-envoy-upstream-rq-per-try-timeout-ms"
TIMEOUT_HEADER = "x-envoy-upstream-rq-timeout-ms"

# Sent to clients in OpenAI mode.
CLIENT_REQUEST_ID_HEADER = "x-request-id"
TARGET_HEADER = "x-gateway-target"
ATTEMPTS_HEADER = "x-gateway-attempts"
CACHE_HEADER = "x-gateway-cache"
SERVER_TIMING_HEADER = "server-timing"
ERROR_HEADER = "x-gateway-error"
"""The error's code, where Envoy answers by itself: the access log takes it from there."""

RECORD_NAMESPACE = "gateway"
"""Dynamic metadata that becomes the usage record."""
REQUEST_ID_FORMAT = f"%DYNAMIC_METADATA({RECORD_NAMESPACE}:request_id)%"
"""The request's id, wherever Envoy takes a format string."""
WIRE_NAMESPACE = "gateway.wire"
"""Dynamic metadata that only the filters behind ours read."""
CONTENT_LENGTH_KEY = "content_length"

RETRY_STATUS = 597
"""On held response headers: "let the next attempt answer". No vendor's status, and never a client's."""

GATEWAY_KEY_HEADER = "x-gw-key"
"""A gateway key in passthrough. Clients send it as `x-gateway-key`, which is kept under this name when headers under
the internal prefix are removed."""

ROUTE_ATTRIBUTE = "xds.route_name"
ATTEMPT_ATTRIBUTE = "upstream.request_attempt_count"
PROVIDER_ATTRIBUTE = f"xds.upstream_host_metadata.filter_metadata['{RECORD_NAMESPACE}']['provider']"
"""The provider of the host Envoy picked, from the endpoint's metadata."""

LOCAL_DETAILS = "gateway"
"""Response code details of an answer the processor made; Envoy's own local replies have others."""

PROCESSOR_CLUSTER = "processor"
API_CLUSTER = "api"
"""The workers' administration."""
FETCH_CLUSTERS = {"http": "fetch/http", "https": "fetch/https"}
"""By scheme, the clusters that reach any host: files behind the URLs of vendors' answers."""


def provider_cluster(provider: str, host: str = "") -> str:
    """The cluster of a provider's connection pools; `host` when its paths fan out over several."""
    return f"provider/{provider}/{host}" if host else f"provider/{provider}"


def websocket_cluster(cluster: str) -> str:
    """The same hosts over HTTP/1.1 only: vendors do not take WebSockets over HTTP/2."""
    return f"{cluster}#websocket"


def route_cluster(providers: Sequence[str]) -> str:
    """The composite cluster whose attempts go to these providers, one after the other."""
    return "route/" + "+".join(providers)
