from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Opcode

from tests.support.fake_vendor import FakeVendor, Reply, VendorSocket
from tests.unit.support.wire import connected, failing

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: v\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
async def vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor() as vendor:
        yield vendor


def url(vendor: FakeVendor, path: str = "/ws") -> str:
    return f"ws://{vendor.host}{path}"


async def test_messages_come_back_as_they_were_sent(vendor: FakeVendor) -> None:
    vendor.script("/api/v3/sauc", Reply.websocket())
    async with connect(url(vendor, "/api/v3/sauc?x=1"), additional_headers={"X-Api-App-Key": "k"}) as client:
        for message in ("héllo", b"\x00\xff", "", b"x" * 100_000):
            await client.send(message)
            assert await client.recv() == message
    [socket] = vendor.sockets
    assert socket.messages == ["héllo", b"\x00\xff", "", b"x" * 100_000]
    assert socket.request.header("x-api-app-key") == "k"
    assert ("X-Api-App-Key", "k") in socket.request.headers
    assert socket.request.query == "x=1"
    await vendor.until(socket.closed.is_set)
    assert socket.close_code == 1000
    assert vendor.disconnects == []


async def test_the_handshake_is_answered_as_the_rfc_computes_it(vendor: FakeVendor) -> None:
    vendor.default = Reply.websocket(headers=[("Sec-WebSocket-Protocol", "realtime")])
    async with connected(vendor) as wire:
        wire.send(HANDSHAKE)
        assert await wire.until(b"\r\n\r\n") == (
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: realtime\r\nupgrade: websocket\r\n"
            b"connection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )


async def test_fragments_are_joined_for_the_session_and_kept_apart_for_the_test(vendor: FakeVendor) -> None:
    async def session(socket: VendorSocket) -> None:
        assert await socket.recv() == b"onetwo"
        socket.send_fragments(["th", "re", "e"])
        assert await socket.recv() == "bye"

    vendor.default = Reply.websocket(session)
    async with connect(url(vendor)) as client:
        await client.send([b"one", b"two"])
        assert [part async for part in client.recv_streaming()] == ["th", "re", "e"]
        await client.send("bye")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1000
    frames = [(frame.opcode, frame.fin) for frame in vendor.sockets[0].frames[:2]]
    assert frames[0] == (Opcode.BINARY, False)
    assert frames[1][0] is Opcode.CONT


async def test_pings_are_answered_both_ways(vendor: FakeVendor) -> None:
    async def session(socket: VendorSocket) -> None:
        socket.ping(b"are you there")
        await socket.recv()

    vendor.default = Reply.websocket(session)
    async with connect(url(vendor)) as client:
        await (await client.ping())
        await client.send("done")
        with pytest.raises(ConnectionClosed):
            await client.recv()
    pongs = [bytes(frame.data) for frame in vendor.sockets[0].frames if frame.opcode is Opcode.PONG]
    assert pongs == [b"are you there"]


async def test_a_session_may_send_half_a_frame_and_the_rest_later(vendor: FakeVendor) -> None:
    async def session(socket: VendorSocket) -> None:
        socket.write(b"\x81\x05he")
        await socket.recv()
        socket.write(b"llo")
        await socket.closed.wait()

    vendor.default = Reply.websocket(session)
    async with connect(url(vendor)) as client:
        await client.send("go on")
        assert await client.recv() == "hello"


async def test_the_vendor_may_close_with_a_code_of_its_own(vendor: FakeVendor) -> None:
    async def session(socket: VendorSocket) -> None:
        socket.close(4001, "no credit")

    vendor.default = Reply.websocket(session)
    async with connect(url(vendor)) as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (client.close_code, client.close_reason) == (4001, "no credit")
    [socket] = await vendor.wait_for_sockets(1)
    await vendor.until(lambda: vendor.open_streams == 0)
    assert socket.close_code == 4001


async def test_the_vendor_may_drop_the_connection_without_a_word(vendor: FakeVendor) -> None:
    async def session(socket: VendorSocket) -> None:
        await socket.recv()
        socket.drop()

    vendor.default = Reply.websocket(session)
    async with connect(url(vendor)) as client:
        await client.send("hello")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1006
    await vendor.until(lambda: vendor.open_connections == 0)
    assert vendor.disconnects == []


@pytest.mark.parametrize("reply", [Reply.text("busy", status=503), Reply.text("slow", status=503).after(0)])
async def test_a_handshake_may_be_refused(vendor: FakeVendor, reply: Reply) -> None:
    vendor.default = reply
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url(vendor)):
            pass
    assert caught.value.response.status_code == 503


async def test_a_client_that_leaves_without_a_close_frame_is_seen(vendor: FakeVendor) -> None:
    vendor.default = Reply.websocket()
    async with connected(vendor) as wire:
        wire.send(HANDSHAKE)
        await wire.until(b"\r\n\r\n")
        [socket] = await vendor.wait_for_sockets(1)
        assert vendor.open_streams == 1
        assert socket.close_code is None
        wire.leave()
        [left] = await vendor.wait_for_disconnects(1)
    assert left.request is socket.request
    assert socket.close_code == 1006
    await vendor.until(lambda: vendor.open_streams == 0)


async def test_frames_that_come_with_the_handshake_are_read(vendor: FakeVendor) -> None:
    vendor.default = Reply.websocket()
    async with connected(vendor) as wire:
        wire.send(HANDSHAKE + b"\x81\x82\x00\x00\x00\x00hi")
        await wire.until(b"\r\n\r\n")
        assert await wire.exactly(4) == b"\x81\x02hi"


@pytest.mark.parametrize(
    ("frame", "code", "match"), [(b"\x81\x02hi", 1002, "mask"), (b"\x81\x81\x00\x00\x00\x00\xff", 1007, "utf-8")]
)
async def test_a_frame_that_breaks_the_protocol_is_refused_and_fails_the_test(
    frame: bytes, code: int, match: str
) -> None:
    async with failing(Reply.websocket(), match=match) as vendor, connected(vendor) as wire:
        wire.send(HANDSHAKE + frame)
        await wire.until(b"\r\n\r\n")
        close = await wire.rest()
        assert (close[0], close[2:4]) == (0x88, code.to_bytes(2, "big"))
        await vendor.until(lambda: vendor.open_streams == 0)


async def test_an_assertion_inside_a_session_fails_the_test() -> None:
    async def session(socket: VendorSocket) -> None:
        assert await socket.recv() == "what was agreed"

    async with failing(Reply.websocket(session), match="what was agreed") as vendor, connect(url(vendor)) as client:
        await client.send("something else")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1011


async def test_a_plain_request_where_a_websocket_is_expected_is_refused_and_fails_the_test() -> None:
    async with failing(Reply.websocket(), match="is no WebSocket handshake") as vendor, connected(vendor) as wire:
        wire.send(b"GET /ws HTTP/1.1\r\nHost: v\r\n\r\n")
        assert (await wire.rest()).startswith(b"HTTP/1.1 400 ")


async def test_closing_the_vendor_ends_its_sessions() -> None:
    ended = asyncio.Event()

    async def session(socket: VendorSocket) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with FakeVendor(Reply.websocket(session)) as vendor, connected(vendor) as wire:
        wire.send(HANDSHAKE)
        await wire.until(b"\r\n\r\n")
        await vendor.close()
        assert ended.is_set()
