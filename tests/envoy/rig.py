"""A bare Envoy, a scripted processor and two scripted vendors: what the pinned Envoy really does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from processor.extproc.grpc_connection import Connection, Stream
from processor.pb.external_processor_pb2 import CommonResponse, HeaderValueOption, ProcessingRequest, ProcessingResponse
from processor.supervise.envoy import binary
from tests.support.fake_vendor import FakeVendor, openai_vendor_default
from tests.support.gateway import free_port, until

TYPE = "type.googleapis.com/"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
EXT_PROC = f"{TYPE}envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
MUTATION = f"{TYPE}envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
SMALL_BUFFER = 8 * 1024 * 1024
MESSAGE_TIMEOUT = 0.5

Script = Callable[[Stream], Awaitable[None]]


@dataclass(slots=True)
class Rig:
    """What a test works with."""

    port: int
    access_log: Path
    first: FakeVendor
    second: FakeVendor
    client: httpx.AsyncClient
    scripts: dict[str, Script] = field(default_factory=dict)
    """What the processor does on each filter's streams."""
    reached: list[tuple[int, str]] = field(default_factory=list)
    """Which of the processor's sockets each stream came to, and its filter."""

    def reset(self) -> None:
        self.scripts.clear()
        self.reached.clear()
        self.first.reset()
        self.second.reset()

    async def log_line(self, name: str) -> dict[str, Any]:
        """The access log's line of the request that named itself so in `x-test`."""

        def find() -> dict[str, Any]:
            lines = [json.loads(line) for line in self.access_log.read_text().splitlines()]
            return next((line for line in lines if line["test"] == name), {})

        return await until(find, what=f"the log line of {name}")


async def follow(stream: Stream) -> None:
    """Let everything pass."""
    while (message := await stream.read()) is not None:
        stream.write(passing(message))


async def ignore(stream: Stream) -> None:
    """Read, and never answer."""
    while await stream.read() is not None:
        pass


def passing(
    message: ProcessingRequest, *, metadata: Mapping[str, Mapping[str, Any]] | None = None
) -> ProcessingResponse:
    """The answer that changes nothing."""
    response = ProcessingResponse()
    kind = message.WhichOneof("request")
    assert kind is not None
    if kind == "response_body":
        piece = response.response_body.response.body_mutation.streamed_response
        piece.body, piece.end_of_stream = message.response_body.body, message.response_body.end_of_stream
    elif kind == "response_trailers":
        response.response_trailers.SetInParent()
    else:
        getattr(response, kind).response.SetInParent()
    if metadata:
        response.dynamic_metadata.update(metadata)
    return response


def setting(response: CommonResponse, **headers: str) -> None:
    """Set headers; `_` in a name stands for `-`, a leading one for `:`."""
    for name, value in headers.items():
        option = response.header_mutation.set_headers.add()
        option.header.key = (":" + name[1:] if name[0] == "_" else name).replace("_", "-")
        option.header.raw_value = value.encode()
        option.append_action = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def replaced(body: bytes, **headers: str) -> ProcessingResponse:
    """CONTINUE_AND_REPLACE."""
    response = ProcessingResponse()
    common = response.request_headers.response
    common.status = CommonResponse.CONTINUE_AND_REPLACE
    common.body_mutation.body = body
    setting(common, **headers)
    return response


def immediate(status: int, body: bytes = b"") -> ProcessingResponse:
    """An answer without a vendor."""
    response = ProcessingResponse()
    response.immediate_response.status.code = status
    response.immediate_response.body = body
    response.immediate_response.details = "gateway"
    return response


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    """Start all of it."""
    port, log = free_port(), folder / "access.jsonl"
    sockets = [folder / f"{number}.sock" for number in range(2)]
    async with (
        FakeVendor(openai_vendor_default) as first,
        FakeVendor(openai_vendor_default) as second,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):
        rig = Rig(port, log, first, second, client)
        servers = [await serve(rig, number, path) for number, path in enumerate(sockets)]
        config = folder / "envoy.json"
        config.write_text(json.dumps(bootstrap(port, log, sockets, first.port, second.port)))
        process = await start(config, folder)
        try:
            await until(lambda: listening(port), what="Envoy")
            yield rig
        finally:
            process.terminate()
            await process.wait()
            for server in servers:
                server.close()


async def start(config: Path, folder: Path) -> asyncio.subprocess.Process:
    options = (
        "--disable-hot-restart",
        "--log-level",
        "error",
        "--concurrency",
        "1",
        "--file-flush-interval-msec",
        "50",
    )
    with (folder / "envoy.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(binary(), "-c", str(config), *options, stderr=log, stdout=log)


def listening(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def serve(rig: Rig, number: int, path: Path) -> asyncio.AbstractServer:
    async def handler(stream: Stream) -> None:
        name = stream.metadata.get("x-filter", "")
        rig.reached.append((number, name))
        await rig.scripts.get(name, follow)(stream)

    connections: set[Connection] = set()
    return await asyncio.get_running_loop().create_unix_server(lambda: Connection(handler, connections), str(path))


def grpc_service(name: str) -> dict[str, Any]:
    metadata = [{"key": "x-filter", "value": name}, {"key": "x-rid", "value": "%REQ(x-rid)%"}]
    return {"envoy_grpc": {"cluster_name": "processor"}, "timeout": "0s", "initial_metadata": metadata}


def ext_proc(name: str, mode: Mapping[str, str], **options: Any) -> dict[str, Any]:
    config = {
        "@type": EXT_PROC,
        "grpc_service": grpc_service(name),
        "message_timeout": "5s",
        "processing_mode": dict(mode),
        "mutation_rules": {"allow_all_routing": True, "allow_envoy": True},
        "metadata_options": {"receiving_namespaces": {"untyped": ["gateway", "gateway.wire"]}},
        **options,
    }
    return {"name": name, "typed_config": config}


REQUEST_ONLY = {"response_header_mode": "SKIP", "response_body_mode": "NONE"}
LISTENER_FILTERS = [
    ext_proc("buffered", {"request_header_mode": "SEND", "request_body_mode": "BUFFERED", **REQUEST_ONLY}),
    ext_proc("skipping", {"request_header_mode": "SKIP", "request_body_mode": "BUFFERED", **REQUEST_ONLY}),
    ext_proc("headers", {"request_header_mode": "SEND", "request_body_mode": "NONE", **REQUEST_ONLY}),
    ext_proc(
        "observer",
        {
            "request_header_mode": "SEND",
            "request_body_mode": "STREAMED",
            "response_header_mode": "SEND",
            "response_body_mode": "STREAMED",
        },
        observability_mode=True,
        failure_mode_allow=True,
        deferred_close_timeout="1s",
    ),
]
UPSTREAM_MODE = {
    "request_header_mode": "SEND",
    "request_body_mode": "NONE",
    "response_header_mode": "SEND",
    "response_body_mode": "FULL_DUPLEX_STREAMED",
    "response_trailer_mode": "SEND",
}
ATTRIBUTES = ["upstream.request_attempt_count", "xds.upstream_host_metadata.filter_metadata['gateway']['provider']"]


def upstream_filters(*, length: bool) -> list[dict[str, Any]]:
    codec = f"{TYPE}envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
    translate = ext_proc(
        "upstream", UPSTREAM_MODE, request_attributes=ATTRIBUTES, message_timeout=f"{MESSAGE_TIMEOUT}s"
    )
    value = "%DYNAMIC_METADATA(gateway.wire:content_length)%"
    header = {"header": {"key": "content-length", "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    mutation = {
        "name": "length",
        "typed_config": {"@type": MUTATION, "mutations": {"request_mutations": [{"append": header}]}},
    }
    return [translate, *([mutation] if length else []), {"name": "codec", "typed_config": {"@type": codec}}]


def cluster(name: str, port: int, **options: Any) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoint = {"endpoint": {"address": address}, "metadata": {"filter_metadata": {"gateway": {"provider": name}}}}
    members = [{"lb_endpoints": [endpoint]}]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": members}, **options}


def composite(name: str, *members: str, length: bool = True, limits: bool = True) -> dict[str, Any]:
    kind = f"{TYPE}envoy.extensions.clusters.composite.v3.ClusterConfig"
    options = {
        "@type": f"{TYPE}{HTTP_OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": upstream_filters(length=length),
    }
    raised = {"circuit_breakers": {"thresholds": [{"max_retries": 1000, "max_requests": 10000}]}} if limits else {}
    return {
        "name": name,
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.composite",
            "typed_config": {"@type": kind, "clusters": [{"name": member} for member in members]},
        },
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
        **raised,
    }


def processors(sockets: Sequence[Path]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": str(path)}}}} for path in sockets]
    options = {
        "@type": f"{TYPE}{HTTP_OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {}},
        "hash_policy": [{"header": {"header_name": "x-rid"}}],
    }
    return {
        "name": "processor",
        "lb_policy": "MAGLEV",
        "load_assignment": {"cluster_name": "processor", "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
        "circuit_breakers": {"thresholds": [{"max_requests": 10000}]},
    }


def route(prefix: str, target: str, *filters: str, **action: Any) -> dict[str, Any]:
    per_route = f"{TYPE}envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
    on = {"@type": f"{TYPE}envoy.config.route.v3.FilterConfig", "config": {"@type": per_route, "overrides": {}}}
    where = {"cluster_header": "x-cluster"} if target == "header" else {"cluster": target}
    return {
        "match": {"prefix": prefix},
        "route": {**where, "timeout": "0s", **action},
        "typed_per_filter_config": dict.fromkeys(filters, on),
    }


def retrying(retries: int) -> dict[str, Any]:
    policy = {
        "retry_on": "connect-failure,reset,retriable-status-codes",
        "num_retries": retries,
        "retriable_status_codes": [503],
        "retry_back_off": {"base_interval": "0.001s"},
    }
    return {"retry_policy": policy}


WEBSOCKET = {"upgrade_configs": [{"upgrade_type": "websocket"}]}


def routes() -> list[dict[str, Any]]:
    return [
        route("/plain", "first"),
        route("/buffered", "first", "buffered"),
        route("/skipping", "first", "skipping"),
        route("/observed", "first", "observer", **WEBSOCKET),
        route("/ws/buffered", "first", "buffered", **WEBSOCKET),
        route("/ws/headers", "first", "headers", **WEBSOCKET),
        route("/by-header", "header", "buffered", **retrying(0)),
        route("/one", "only-first", **retrying(0)),
        route("/chunked", "only-first-chunked", **retrying(0)),
        route("/two", "first-second", **retrying(1)),
        route("/dead-a", "dead-first", **retrying(1)),
        route("/too-many", "only-first", **retrying(2)),
        route("/limited", "limited", **retrying(1)),
        route("/dead", "dead"),
    ]


def connection_manager(log: Path) -> dict[str, Any]:
    log_format = {
        "test": "%REQ(x-test)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "gateway": "%DYNAMIC_METADATA(gateway)%",
    }
    early = [
        {"remove_on_match": {"key_matcher": {"prefix": "x-gateway-"}}},
        {
            "append": {
                "header": {"key": "x-gateway-request-id", "value": "%UNIQUE_ID%"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        },
    ]
    router = f"{TYPE}envoy.extensions.filters.http.router.v3.Router"
    local = {
        "filter": {"response_flag_filter": {"flags": ["UF", "UH", "URX", "UO"]}},
        "body_format_override": {"json_format": {"error": {"code": "upstream_unavailable"}}},
    }
    return {
        "@type": f"{TYPE}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "rig",
        "generate_request_id": False,
        "early_header_mutation_extensions": [
            {
                "name": "early",
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": early,
                },
            }
        ],
        "access_log": [
            {
                "name": "file",
                "typed_config": {
                    "@type": f"{TYPE}envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": str(log),
                    "log_format": {"json_format": log_format},
                },
            }
        ],
        "local_reply_config": {"mappers": [local]},
        "http_filters": [
            *({**item, "disabled": True} for item in LISTENER_FILTERS),
            {"name": "router", "typed_config": {"@type": router}},
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes()}]},
    }


def bootstrap(port: int, log: Path, sockets: Sequence[Path], first: int, second: int) -> dict[str, Any]:
    listener = {
        "name": "rig",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "per_connection_buffer_limit_bytes": SMALL_BUFFER,
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": connection_manager(log)}]}],
    }
    clusters = [
        processors(sockets),
        cluster("first", first),
        cluster("second", second),
        cluster("dead", 9),
        composite("only-first", "first"),
        composite("only-first-chunked", "first", length=False),
        composite("first-second", "first", "second"),
        composite("dead-first", "dead", "first"),
        composite("limited", "first", "second", limits=False),
    ]
    node = {"id": "rig", "cluster": "rig"}
    return {"node": node, "static_resources": {"listeners": [listener], "clusters": clusters}}
