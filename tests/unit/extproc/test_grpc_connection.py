"""The processor's own gRPC server, against gRPC's reference client and against bare frames."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import hpack
import pytest

from processor.extproc.grpc_connection import METHOD, Connection, Stream
from processor.pb.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from processor.wire import http2
from processor.wire.grpc_messages import MessageDecoder, prefixed
from processor.wire.http2 import Frame, FrameDecoder, Kind, Setting
from tests.support.gateway import until

Handler = Callable[[Stream], Awaitable[None]]
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@asynccontextmanager
async def serving(handler: Handler, socket: Path) -> AsyncIterator[set[Connection]]:
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Connection(handler, connections), str(socket))
    try:
        yield connections
    finally:
        for connection in list(connections):
            connection.shut()
        server.close()
        await server.wait_closed()


async def echo(stream: Stream) -> None:
    """Answer each body with the same bytes."""
    while (message := await stream.read()) is not None:
        response = ProcessingResponse()
        response.immediate_response.body = message.request_body.body
        response.immediate_response.details = stream.metadata.get("x-rid", "")
        stream.write(response)


def method(channel: grpc.aio.Channel) -> grpc.aio.StreamStreamMultiCallable:
    return channel.stream_stream(METHOD.decode(), ProcessingRequest.SerializeToString, ProcessingResponse.FromString)


def body(data: bytes) -> ProcessingRequest:
    request = ProcessingRequest()
    request.request_body.body = data
    return request


async def test_messages_of_any_size_go_both_ways(tmp_path: Path) -> None:
    sizes = [0, 1, 16_000, 16_384, 70_000, 3_000_000, 40_000_000]
    async with (
        serving(echo, tmp_path / "s"),
        grpc.aio.insecure_channel(f"unix:{tmp_path}/s", options=OPTIONS) as channel,
    ):
        call = method(channel)(metadata=(("x-rid", "42"),))
        for size in sizes:
            await call.write(body(b"x" * size))
            answer = await call.read()
            assert len(answer.immediate_response.body) == size
            assert answer.immediate_response.details == "42"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_many_streams_share_a_connection(tmp_path: Path) -> None:
    async with (
        serving(echo, tmp_path / "s") as connections,
        grpc.aio.insecure_channel(f"unix:{tmp_path}/s", options=OPTIONS) as channel,
    ):

        async def one(number: int) -> bytes:
            call = method(channel)()
            for part in range(3):
                await call.write(body(b"%d.%d" % (number, part)))
            await call.done_writing()
            return b" ".join([answer.immediate_response.body async for answer in call])

        answers = await asyncio.gather(*map(one, range(300)))
        assert answers == [b"%d.0 %d.1 %d.2" % (n, n, n) for n in range(300)]
        assert len(connections) == 1
        await until(lambda: not any(connection.tasks for connection in connections), what="no stream left")


async def test_a_handler_that_returns_ends_the_stream_before_its_client_does(tmp_path: Path) -> None:
    async def one_answer(stream: Stream) -> None:
        await stream.read()
        stream.write(ProcessingResponse())

    async with serving(one_answer, tmp_path / "s"), grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        for _ in range(20):
            call = method(channel)()
            await call.write(body(b"x"))
            assert await call.read() is not grpc.aio.EOF
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK


async def test_a_client_that_is_gone_ends_the_reading_and_the_handler_goes_on_to_its_end(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def accounting(stream: Stream) -> None:
        while await stream.read() is not None:
            pass
        stream.write(ProcessingResponse())  # nobody is there
        ended.set()

    async with serving(accounting, tmp_path / "s") as connections:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
            call = method(channel)()
            await call.write(body(b"x"))
            call.cancel()
            await asyncio.wait_for(ended.wait(), 5)
        ended.clear()
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(http2.PREFACE + http2.settings({}) + request_headers(1))
        await writer.drain()
        await until(lambda: any(connection.tasks for connection in connections), what="the stream")
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(ended.wait(), 5)


async def test_a_bug_in_a_handler_is_an_internal_error_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def broken(stream: Stream) -> None:
        message = await stream.read()
        assert message is not None
        if message.request_body.body == b"bug":
            raise RuntimeError("a bug")

    async with serving(broken, tmp_path / "s"), grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        for data, code in ((b"bug", grpc.StatusCode.INTERNAL), (b"fine", grpc.StatusCode.OK)):
            call = method(channel)()
            await call.write(body(data))
            assert await call.code() is code


async def test_another_method_is_unimplemented(tmp_path: Path) -> None:
    async with serving(echo, tmp_path / "s"), grpc.aio.insecure_channel(f"unix:{tmp_path}/s") as channel:
        call = channel.stream_stream("/other/Method")()
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


def request_headers(stream: int, *, split: bool = False) -> bytes:
    """A request's header block, in one frame or in two."""
    block = hpack.Encoder().encode([(":method", "POST"), (":path", METHOD.decode()), ("x-rid", "raw")])
    if not split:
        return http2.frame(Kind.HEADERS, http2.END_HEADERS, stream, block)
    return http2.frame(Kind.HEADERS, 0, stream, block[:5]) + http2.frame(
        Kind.CONTINUATION, http2.END_HEADERS, stream, block[5:]
    )


class RawClient:
    """Sends frames, and reads them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self._decoder = FrameDecoder()
        self._decoder.feed(http2.PREFACE)  # a server sends none

    async def read(self, kind: Kind, *, until_flag: int = 0) -> list[Frame]:
        """The frames up to one of a kind, with a flag if one is asked for."""
        frames: list[Frame] = []
        while not any(frame.kind == kind and frame.flags & until_flag == until_flag for frame in frames):
            frames += self._decoder.feed(await asyncio.wait_for(self._reader.read(65536), 5))
        return frames


@asynccontextmanager
async def raw_client(socket: Path) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize("split", [False, True])
async def test_a_conversation_byte_by_byte(tmp_path: Path, *, split: bool) -> None:
    wire = http2.PREFACE + http2.settings({}) + http2.frame(Kind.PING, 0, 0, b"12345678")
    wire += request_headers(1, split=split)
    wire += http2.frame(Kind.DATA, http2.END_STREAM, 1, prefixed(body(b"hello").SerializeToString()))
    async with serving(echo, tmp_path / "s"), raw_client(tmp_path / "s") as client:
        for position in range(len(wire)):
            client.writer.write(wire[position : position + 1])
            await client.writer.drain()
        frames = await client.read(Kind.HEADERS, until_flag=http2.END_STREAM)
    assert [f.payload for f in frames if f.kind == Kind.PING and f.flags & http2.ACK] == [b"12345678"]
    data = b"".join(frame.payload for frame in frames if frame.kind == Kind.DATA)
    [message] = MessageDecoder(limit=1000).feed(data)
    assert ProcessingResponse.FromString(message).immediate_response.body == b"hello"
    blocks = [frame.payload for frame in frames if frame.kind == Kind.HEADERS]
    heads = [[(str(name), str(value)) for name, value in hpack.Decoder().decode(block)] for block in blocks]
    assert heads == [[(":status", "200"), ("content-type", "application/grpc")], [("grpc-status", "0")]]
    assert not [frame for frame in frames if frame.kind == Kind.RST_STREAM], "the client had sent its last"


async def test_no_more_is_sent_than_the_client_s_windows_take(tmp_path: Path) -> None:
    size = 100_000
    async with serving(echo, tmp_path / "s"), raw_client(tmp_path / "s") as client:
        client.writer.write(http2.PREFACE + http2.settings({Setting.INITIAL_WINDOW_SIZE: 20_000}) + request_headers(1))
        message = prefixed(body(b"x" * size).SerializeToString())
        for start in range(0, len(message), http2.FRAME_SIZE):
            client.writer.write(http2.frame(Kind.DATA, 0, 1, message[start : start + http2.FRAME_SIZE]))
        client.writer.write(http2.frame(Kind.DATA, http2.END_STREAM, 1))
        frames = await client.read(Kind.DATA)
        assert sum(len(frame.payload) for frame in frames if frame.kind == Kind.DATA) <= 20_000
        client.writer.write(http2.window_update(1, 60_000))
        client.writer.write(http2.window_update(0, 200_000))
        client.writer.write(http2.window_update(1, 60_000))
        frames += await client.read(Kind.HEADERS, until_flag=http2.END_STREAM)
    data = b"".join(frame.payload for frame in frames if frame.kind == Kind.DATA)
    assert len(data) > size
    assert all(len(frame.payload) <= http2.FRAME_SIZE for frame in frames)


async def test_credit_is_given_back_for_what_was_read(tmp_path: Path) -> None:
    async with serving(echo, tmp_path / "s"), raw_client(tmp_path / "s") as client:
        client.writer.write(http2.PREFACE + http2.settings({}) + request_headers(1))
        for _ in range(70):
            client.writer.write(http2.frame(Kind.DATA, 0, 1, prefixed(body(bytes(16_000)).SerializeToString())))
        await client.writer.drain()
        frames = await client.read(Kind.WINDOW_UPDATE)
        while len([frame for frame in frames if frame.kind == Kind.WINDOW_UPDATE]) < 3:
            frames += await client.read(Kind.WINDOW_UPDATE)
    updates = {frame.stream for frame in frames if frame.kind == Kind.WINDOW_UPDATE}
    assert updates == {0, 1}


@pytest.mark.parametrize(
    "wire", [b"GET / HTTP/1.1\r\n\r\n", http2.PREFACE + http2.frame(Kind.CONTINUATION, 0, 1, b"x")]
)
async def test_a_client_that_breaks_the_protocol_is_cut_off(tmp_path: Path, wire: bytes) -> None:
    async with serving(echo, tmp_path / "s") as connections, raw_client(tmp_path / "s") as client:
        client.writer.write(wire)
        await client.writer.drain()
        await until(lambda: not connections, what="the connection closed")
