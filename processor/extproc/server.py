"""The gRPC server of one processor process, on a Unix socket."""

from __future__ import annotations

from pathlib import Path

import grpc.aio

from processor.extproc.servicer import Servicer
from processor.pb.external_processor_pb2 import ProcessingRequest, ProcessingResponse

_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"

_OPTIONS = (
    # Envoy bounds bodies itself (the listener's buffer limit); gRPC's 4 MB would refuse images first.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Every request holds one or two streams for as long as its answer takes.
    ("grpc.max_concurrent_streams", 1_000_000),
    ("grpc.so_reuseport", 0),
)


async def start(servicer: Servicer, socket: Path) -> grpc.aio.Server:
    """Listen on `socket`, replacing one a killed process left behind."""
    socket.unlink(missing_ok=True)  # noqa: ASYNC240 - once, before anything is served
    server = grpc.aio.server(options=_OPTIONS)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.process, ProcessingRequest.FromString, ProcessingResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Process": handler}),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    return server
