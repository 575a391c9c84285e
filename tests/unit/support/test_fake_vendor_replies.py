"""Every reply and fault, as a bare socket sees it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.fake_vendor import CLOSE, HANG, RESET, FakeVendor, Framing, Reply
from tests.unit.support.wire import GET, Wire, connected


@pytest.fixture
async def vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor() as vendor:
        yield vendor


@pytest.fixture
async def wire(vendor: FakeVendor) -> AsyncIterator[Wire]:
    async with connected(vendor) as wire:
        yield wire


async def until_close(vendor: FakeVendor, wire: Wire, reply: Reply, request: bytes = GET) -> bytes:
    vendor.default = reply
    wire.send(request)
    return await wire.rest()


async def test_a_whole_reply_is_sent_exactly_as_given(vendor: FakeVendor, wire: Wire) -> None:
    vendor.default = Reply.of(b"\x00\xff", status=429, headers=[("X-Rate", "1"), ("x-rate", "2")])
    wire.send(GET)
    expected = b"HTTP/1.1 429 Too Many Requests\r\nX-Rate: 1\r\nx-rate: 2\r\ncontent-length: 2\r\n\r\n\x00\xff"
    assert await wire.exactly(len(expected)) == expected


async def test_json_text_and_no_content_say_what_they_are(vendor: FakeVendor, wire: Wire) -> None:
    vendor.script(None, Reply.json({"a": "é"}), Reply.text("é"), Reply.of(status=204))
    wire.send(GET * 3)
    got = await wire.until(b"204 No Content\r\n\r\n")
    assert got == (
        b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"a":"\xc3\xa9"}'
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\n\xc3\xa9"
        b"HTTP/1.1 204 No Content\r\n\r\n"
    )


async def test_steps_of_bytes_are_the_chunks_of_a_chunked_body(vendor: FakeVendor, wire: Wire) -> None:
    vendor.default = Reply.stream([b"abc", b"", b"0123456789abcdef"])
    wire.send(GET)
    got = await wire.until(b"0\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked"
    assert body == b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"


async def test_events_become_data_lines_and_bytes_stay_as_they_are(vendor: FakeVendor) -> None:
    vendor.default = Reply.sse([b": comment\n\n", {"a": 1}, 0, b"da", 0, b"ta: x\r\n\r\n", "[DONE]"])
    async with aiohttp.ClientSession() as client, client.get(vendor.url) as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert await response.read() == b': comment\n\ndata: {"a":1}\n\ndata: x\r\n\r\ndata: [DONE]\n\n'


async def test_a_body_the_test_has_compressed_goes_out_untouched(vendor: FakeVendor) -> None:
    vendor.default = Reply.of(gzip.compress(b"hello"), headers=[("content-encoding", "gzip")])
    async with aiohttp.ClientSession() as client, client.get(vendor.url) as response:
        assert await response.read() == b"hello"


@pytest.mark.parametrize("framing", [Framing.CLOSE, Framing.LENGTH])
async def test_a_streamed_body_may_be_framed_otherwise(vendor: FakeVendor, wire: Wire, framing: Framing) -> None:
    reply = Reply.stream([b"ab", 0, b"cd"], framing=framing)
    got = await until_close(vendor, wire, reply, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert got.endswith(b"connection: close\r\n\r\nabcd")
    assert (b"content-length: 4" in got) is (framing is Framing.LENGTH)


async def test_a_framing_header_of_the_tests_own_is_left_as_it_is(vendor: FakeVendor, wire: Wire) -> None:
    vendor.default = Reply.of(b"abc", headers=[("Content-Length", "99")])
    wire.send(GET)
    assert await wire.until(b"abc") == b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc"


async def test_the_answer_to_head_has_no_body(vendor: FakeVendor, wire: Wire) -> None:
    vendor.script(None, Reply.text("body"), Reply.text("other").after(0), Reply.text("end"))
    wire.send(b"HEAD / HTTP/1.1\r\n\r\n" * 2 + GET)
    got = await wire.until(b"end")
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert b"content-length: 4\r\n\r\nHTTP" in got
    assert b"content-length: 5\r\n\r\nHTTP" in got


async def test_steps_wait_for_the_tests_word(vendor: FakeVendor, wire: Wire) -> None:
    head, body = asyncio.Event(), asyncio.Event()
    vendor.default = Reply.stream([b"first", body, b"second"]).after(head)
    wire.send(GET)
    await vendor.until(lambda: vendor.open_streams == 1)
    head.set()
    assert b"5\r\nfirst\r\n" in await wire.until(b"first\r\n")
    assert vendor.open_streams == 1
    body.set()
    assert await wire.until(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
    await vendor.until(lambda: vendor.open_streams == 0)
    assert vendor.disconnects == []


async def test_pauses_put_time_between_steps(vendor: FakeVendor, wire: Wire) -> None:
    clock = asyncio.get_running_loop().time
    vendor.default = Reply.stream([b"a", 0.05, b"b"])
    wire.send(GET)
    await wire.until(b"a\r\n")
    began = clock()
    await wire.until(b"b\r\n")
    assert clock() - began > 0.03


async def test_raw_bytes_are_all_there_is(vendor: FakeVendor, wire: Wire) -> None:
    assert await until_close(vendor, wire, Reply.raw(b"SSH-2.0", 0, b"-x\r\n")) == b"SSH-2.0-x\r\n"


async def test_a_vendor_may_hang_up_instead_of_answering(vendor: FakeVendor, wire: Wire) -> None:
    assert await until_close(vendor, wire, Reply.hang_up()) == b""


async def test_a_vendor_may_reset_the_connection_instead_of_answering(vendor: FakeVendor, wire: Wire) -> None:
    with pytest.raises(ConnectionResetError):
        await until_close(vendor, wire, Reply.reset())


@pytest.mark.parametrize("reply", [Reply.of(b"0123456789"), Reply.stream([b"0123", b"456789"], framing=Framing.LENGTH)])
async def test_a_body_may_be_cut_off_before_its_promised_end(vendor: FakeVendor, wire: Wire, reply: Reply) -> None:
    got = await until_close(vendor, wire, reply.cut(6))
    assert got.endswith(b"content-length: 10\r\n\r\n012345")


async def test_a_chunked_body_may_be_cut_off_without_its_end(vendor: FakeVendor, wire: Wire) -> None:
    got = await until_close(vendor, wire, Reply.stream([b"abc", b"def"]).cut(4))
    assert got.endswith(b"\r\n\r\n3\r\nabc\r\n1\r\nd\r\n")


async def test_a_body_may_be_reset_in_the_middle(vendor: FakeVendor, wire: Wire) -> None:
    seen = asyncio.Event()
    vendor.default = Reply.stream([b"abc", seen, RESET])
    wire.send(GET)
    await wire.until(b"abc\r\n")
    seen.set()
    with pytest.raises(ConnectionResetError):
        await wire.rest()


async def test_a_fault_of_the_vendors_is_no_disconnect_of_the_client(vendor: FakeVendor, wire: Wire) -> None:
    await until_close(vendor, wire, Reply.stream([b"abc", CLOSE]))
    await vendor.until(lambda: vendor.open_connections == 0)
    assert (vendor.disconnects, vendor.open_streams) == ([], 0)


@pytest.mark.parametrize(
    ("reply", "first", "sent"),
    [(Reply.never(), b"", 0), (Reply.head_only(), b"\r\n\r\n", 0), (Reply.stream([b"abc", HANG]), b"abc\r\n", 3)],
)
async def test_a_vendor_may_stop_talking_and_sees_when_the_client_gives_up(
    vendor: FakeVendor, wire: Wire, reply: Reply, first: bytes, sent: int
) -> None:
    vendor.default = reply
    wire.send(GET)
    if first:
        await wire.until(first)
    await vendor.wait_for(1)
    await vendor.until(lambda: vendor.open_streams == 1)
    wire.leave()
    [left] = await vendor.wait_for_disconnects(1)
    assert (left.request, left.sent) == (vendor.last, sent)
    await vendor.until(lambda: vendor.open_streams == 0)


async def test_an_answer_larger_than_a_socket_takes_waits_for_its_reader(vendor: FakeVendor, wire: Wire) -> None:
    large = bytes(8 * 1024 * 1024)
    vendor.default = Reply.of(large)
    wire.send(GET)
    head = await wire.until(b"\r\n\r\n")
    assert b"content-length: 8388608\r\n" in head
    assert vendor.open_streams == 1
    assert await wire.exactly(len(large)) == large
    await vendor.until(lambda: vendor.open_streams == 0)


async def test_a_client_that_leaves_a_large_answer_half_read_is_seen(vendor: FakeVendor, wire: Wire) -> None:
    vendor.default = Reply.stream([bytes(4 * 1024 * 1024)] * 4)
    wire.send(GET)
    await wire.until(b"\r\n\r\n")
    wire.leave()
    [left] = await vendor.wait_for_disconnects(1)
    assert left.sent < 16 * 1024 * 1024


async def test_an_error_may_come_with_status_200(vendor: FakeVendor) -> None:
    vendor.default = Reply.json({"error": {"message": "no"}})
    async with aiohttp.ClientSession() as client, client.get(vendor.url) as response:
        assert (response.status, await response.json()) == (200, {"error": {"message": "no"}})
