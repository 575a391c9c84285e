"""Envoy's half of the ext_proc conversation, in the test's own process: what each filter sends, what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from processor import names
from processor.pb.external_processor_pb2 import (
    HeaderMap,
    HeaderMutation,
    HeaderValue,
    ProcessingRequest,
    ProcessingResponse,
)

_METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


@dataclass(slots=True)
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    metadata: dict[str, Any] = field(default_factory=dict)
    ended: bool = False
    immediate: bool = False
    """Whether it stands in the place of a vendor's."""


class Stream:
    """One gRPC stream of one filter."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.metadata: dict[str, Any] = {}

    async def send(self, **message: Any) -> None:
        """Send a ProcessingRequest."""
        await self._call.write(ProcessingRequest(**message))

    async def send_headers(
        self,
        field_name: str,
        headers: Mapping[str, str],
        *,
        end: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """Send `request_headers` or `response_headers`."""
        pairs = [HeaderValue(key=key, raw_value=value.encode()) for key, value in headers.items()]
        message = ProcessingRequest()
        head = getattr(message, field_name)
        head.headers.CopyFrom(HeaderMap(headers=pairs))
        head.end_of_stream = end
        if attributes:
            message.attributes["envoy.filters.http.ext_proc"].update(dict(attributes))
        await self._call.write(message)

    async def send_body(self, field_name: str, body: bytes, *, end: bool) -> None:
        """Send `request_body` or `response_body`."""
        message = ProcessingRequest()
        getattr(message, field_name).body = body
        getattr(message, field_name).end_of_stream = end
        await self._call.write(message)

    async def receive(self) -> ProcessingResponse | None:
        """The processor's next message; None at the end of its stream."""
        message = await self._call.read()
        if message is grpc.aio.EOF:
            return None
        for namespace, facts in message.dynamic_metadata.items():
            self.metadata.setdefault(namespace, {}).update(dict(facts.items()))
        return message  # type: ignore[no-any-return]

    async def finish(self) -> None:
        """Half-close, as Envoy does at the end of an exchange."""
        await self._call.done_writing()

    def cancel(self) -> None:
        """Reset, as Envoy does when a client hangs up."""
        self._call.cancel()


class Envoy:
    """Opens streams to a processor's socket."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._process = channel.stream_stream(
            _METHOD,
            request_serializer=ProcessingRequest.SerializeToString,
            response_deserializer=ProcessingResponse.FromString,
        )
        self._asked: dict[str, Stream] = {}
        """The downstream filter's streams, which Envoy keeps open until the client has its answer."""

    async def over(self, request_id: str) -> None:
        """The client has its answer, or has left."""
        stream = self._asked.pop(request_id)
        await stream.finish()
        assert await stream.receive() is None, "the processor ends its stream as well"

    def open(self, filter_name: str, request_id: str) -> Stream:
        """A filter's stream for a request."""
        return Stream(
            self._process(metadata=((names.STREAM_FILTER, filter_name), (names.STREAM_REQUEST_ID, request_id)))
        )

    async def ask(
        self, request_id: str, body: bytes, headers: Mapping[str, str], *, path: str = "/v1/chat/completions"
    ) -> tuple[dict[str, str], Answer | None, dict[str, Any]]:
        """Play the downstream filter: the headers it set, or the answer it gave at once; and the metadata."""
        stream = self.open(names.DOWNSTREAM_FILTER, request_id)
        await stream.send_headers("request_headers", {":method": "POST", ":path": path, **headers})
        message = await stream.receive()
        assert message is not None
        if message.WhichOneof("response") == "immediate_response":
            return {}, immediate(message, stream), stream.metadata
        await stream.send_body("request_body", body, end=True)
        message = await stream.receive()
        assert message is not None
        if message.WhichOneof("response") == "immediate_response":
            return {}, immediate(message, stream), stream.metadata
        assert message.request_body.response.clear_route_cache
        self._asked[request_id] = stream
        return mutations(message.request_body.response.header_mutation), None, stream.metadata

    async def attempt(
        self, request_id: str, number: int, provider: str, *, path: str = "/v1/chat/completions"
    ) -> tuple[Stream, ProcessingResponse]:
        """Play the upstream filter up to the translated request."""
        stream = self.open(names.UPSTREAM_FILTER, request_id)
        attributes = {names.ATTEMPT_ATTRIBUTE: number, names.PROVIDER_ATTRIBUTE: provider}
        headers = {":path": path, "authorization": "Bearer theirs", "cookie": "a", "user-agent": "t"}
        await stream.send_headers("request_headers", headers, attributes=attributes)
        message = await stream.receive()
        assert message is not None
        return stream, message


async def answer(stream: Stream, status: int, headers: Mapping[str, str], chunks: Iterable[bytes]) -> Answer:
    """Play a vendor's answer through the upstream filter to its end, or until the processor has had enough of it."""
    await stream.send_headers("response_headers", {":status": str(status), **headers})
    sending = asyncio.create_task(_send_whole(stream, chunks))
    got = await collect(stream, status)
    await asyncio.gather(sending, return_exceptions=got.immediate)
    return got


async def _send_whole(stream: Stream, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        await stream.send_body("response_body", chunk, end=False)
    await stream.send_body("response_body", b"", end=True)
    await stream.finish()


async def collect(stream: Stream, status: int) -> Answer:
    """Read the client's answer to the end of the processor's stream."""
    message = await stream.receive()
    assert message is not None
    if message.WhichOneof("response") == "immediate_response":
        return immediate(message, stream)
    assert message.WhichOneof("response") == "response_headers", message
    headers = mutations(message.response_headers.response.header_mutation)
    got = Answer(int(headers.pop(":status", str(status))), headers)
    while (message := await stream.receive()) is not None:
        piece = message.response_body.response.body_mutation.streamed_response
        assert not got.ended, "nothing follows the end"
        got.body += piece.body
        got.ended = piece.end_of_stream
    got.metadata = stream.metadata
    return got


def mutations(mutation: HeaderMutation) -> dict[str, str]:
    """The headers set, by name."""
    return {option.header.key: option.header.raw_value.decode() for option in mutation.set_headers}


def immediate(message: ProcessingResponse, stream: Stream) -> Answer:
    """An answer without a vendor."""
    reply = message.immediate_response
    assert reply.details == names.LOCAL_DETAILS
    return Answer(reply.status.code, mutations(reply.headers), reply.body, stream.metadata, ended=True, immediate=True)


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[Envoy]:
    """A channel to a processor."""
    async with grpc.aio.insecure_channel(
        f"unix:{socket}", options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        yield Envoy(channel)
