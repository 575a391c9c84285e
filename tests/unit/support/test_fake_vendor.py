from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.fake_vendor import FakeVendor, Received, Reply, openai_vendor_default, unscripted
from tests.unit.support.wire import GET, connected, failing


@pytest.fixture
async def vendor() -> AsyncIterator[FakeVendor]:
    async with FakeVendor() as vendor:
        yield vendor


async def fetch(vendor: FakeVendor, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as client,
        client.request("POST" if body else "GET", vendor.url + path, data=body) as response,
    ):
        return response.status, await response.read()


async def test_the_bytes_of_a_request_are_kept_as_they_were_sent(vendor: FakeVendor) -> None:
    vendor.default = Reply.of()
    sent = b"POST /x?a=%20 HTTP/1.1\r\nHOST: v\r\nX-A: 1\r\nx-a: \xe9\r\nContent-Length: 2\r\n\r\n\x00\xff"
    async with connected(vendor) as wire:
        wire.send(sent)
        await wire.until(b"\r\n\r\n")
    assert vendor.last.head + vendor.last.body == sent
    assert vendor.last.headers == (("HOST", "v"), ("X-A", "1"), ("x-a", "é"), ("Content-Length", "2"))


async def test_replies_of_a_script_are_used_in_turn_and_the_last_for_ever(vendor: FakeVendor) -> None:
    script = vendor.script("/a", Reply.text("one", status=503), lambda request: Reply.text(request.query))
    got = [await fetch(vendor, f"/a?{number}") for number in range(3)]
    assert got == [(503, b"one"), (200, b"1"), (200, b"2")]
    assert [request.query for request in script.requests] == ["0", "1", "2"]


async def test_the_newest_script_that_matches_answers_and_the_default_the_rest(vendor: FakeVendor) -> None:
    vendor.default = Reply.text("default")
    vendor.script(None, Reply.text("any POST"), method="POST")
    vendor.script("/a", Reply.text("a"))
    vendor.script("/a", Reply.text("large a"), when=lambda request: len(request.body) > 3)
    assert await fetch(vendor, "/a") == (200, b"a")
    assert await fetch(vendor, "/a", b"12345") == (200, b"large a")
    assert await fetch(vendor, "/b", b"1") == (200, b"any POST")
    assert await fetch(vendor, "/b") == (200, b"default")
    assert [request.path for request in vendor.requests] == ["/a", "/a", "/b", "/b"]


async def test_a_request_without_a_script_fails_the_test() -> None:
    async with failing(unscripted, match="no script for GET /surprise") as vendor:
        assert (await fetch(vendor, "/surprise"))[0] == 500


async def test_an_assertion_inside_a_reply_fails_the_test() -> None:
    def check(request: Received) -> Reply:
        assert request.header("authorization") == "Bearer key", "the key is missing"
        return Reply.of()

    async with failing(check, match="the key is missing") as vendor:
        assert (await fetch(vendor, "/"))[0] == 500


async def test_bytes_that_are_not_http_are_refused_and_fail_the_test() -> None:
    async with failing(unscripted, match="is no request line") as vendor, connected(vendor) as wire:
        wire.send(b"\x16\x03\x01 not HTTP\r\n\r\n")
        assert (await wire.rest()).startswith(b"HTTP/1.1 400 ")
        assert vendor.count == 0


async def surprised(*, error: Exception | None = None) -> None:
    """A test whose vendor meets a failure, and that may fail by itself."""
    async with FakeVendor() as vendor:
        await fetch(vendor, "/surprise")
        if error:
            raise error


async def test_failures_are_told_when_the_vendor_is_closed() -> None:
    with pytest.raises(AssertionError, match="no script for GET /surprise"):
        await surprised()


async def test_failures_do_not_hide_the_tests_own() -> None:
    with pytest.raises(KeyError, match="the test's own"):
        await surprised(error=KeyError("the test's own"))


async def test_reset_forgets_everything_but_the_connections(vendor: FakeVendor) -> None:
    vendor.script(None, Reply.text("scripted"))
    async with connected(vendor) as wire:
        wire.send(GET)
        await wire.until(b"scripted")
        vendor.reset()
        assert (vendor.requests, vendor.count, vendor.open_connections) == ([], 0, 1)
        wire.send(GET)
        await wire.until(b"no script for GET /")
        assert len(vendor.failures) == 1
    vendor.reset()


async def test_one_connection_carries_many_requests_and_each_says_which_it_came_on(vendor: FakeVendor) -> None:
    vendor.default = Reply.text(".")
    async with connected(vendor) as first, connected(vendor) as second:
        first.send(GET + GET)
        await first.until(b".")
        await first.until(b".")
        second.send(GET)
        await second.until(b".")
        assert (vendor.connections, vendor.open_connections) == (2, 2)
    numbers = [request.connection for request in vendor.requests]
    assert numbers[0] == numbers[1] != numbers[2]


@pytest.mark.parametrize(
    ("request_bytes", "reply"),
    [
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", Reply.of(b"ok")),
        (b"GET / HTTP/1.0\r\n\r\n", Reply.of(b"ok")),
        (GET, Reply.of(b"ok", headers=[("Connection", "close")])),
    ],
)
async def test_a_connection_ends_when_either_side_wants_it(
    vendor: FakeVendor, request_bytes: bytes, reply: Reply
) -> None:
    vendor.default = reply
    async with connected(vendor) as wire:
        wire.send(request_bytes)
        assert (await wire.rest()).endswith(b"\r\n\r\nok")


async def test_continue_is_said_to_a_client_that_waits_for_it(vendor: FakeVendor) -> None:
    vendor.default = Reply.text("got it")
    async with connected(vendor) as wire:
        wire.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.send(b"body")
        await wire.until(b"got it")
    assert vendor.last.body == b"body"


async def test_waiting_ends_when_enough_requests_have_come(vendor: FakeVendor) -> None:
    vendor.default = Reply.of()
    waiting = asyncio.create_task(vendor.wait_for(2))
    await fetch(vendor, "/1")
    assert not waiting.done()
    await fetch(vendor, "/2")
    assert [request.path for request in await waiting] == ["/1", "/2"]


async def test_waiting_in_vain_tells_what_came_instead(vendor: FakeVendor) -> None:
    vendor.default = Reply.of()
    await fetch(vendor, "/only")
    with pytest.raises(TimeoutError, match=r"2 requests; 1 requests \(last: GET /only\)"):
        await vendor.wait_for(2, within=0.01)


async def test_a_client_that_leaves_while_it_sends_is_seen(vendor: FakeVendor) -> None:
    async with connected(vendor) as wire:
        wire.send(b"POST /upload HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        await vendor.until(lambda: vendor.connections == 1)
        await wire.writer.drain()
        wire.writer.close()
        [left] = await vendor.wait_for_disconnects(1)
    assert (left.request.path, left.request.complete, left.request.body) == ("/upload", False, b"half")
    assert vendor.requests == []


async def test_closing_the_vendor_cuts_what_is_open_and_is_no_disconnect() -> None:
    async with FakeVendor(Reply.never()) as vendor, connected(vendor) as asking, connected(vendor) as sending:
        asking.send(GET)
        sending.send(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        await vendor.until(lambda: vendor.count == 1 and vendor.open_connections == 2)
        await vendor.close()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", vendor.port)
        assert (vendor.open_streams, vendor.open_connections, vendor.disconnects) == (0, 0, [])


async def test_the_default_of_an_openai_vendor_can_be_given_at_once() -> None:
    async with FakeVendor(openai_vendor_default) as vendor:
        status, body = await fetch(vendor, "/v1/models")
        assert (status, b"fake-model" in body) == (200, True)
