"""The load generator tells right answers from wrong ones, and reads them however they are cut."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.http1 import BrokenMessage, Reader
from bench.load import MAX_ERRORS, Clients, Request, Result, post
from bench.measure import percentile
from bench.vendor import MODEL, PACED, script, serve

CHUNKS = 5
EVENTS = CHUNKS + 2  # the usage and [DONE]

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
COUNTED = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world"


def question(
    *, streamed: bool, path: str = "/v1/chat/completions", model: str = MODEL, events: int = EVENTS
) -> Request:
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    if not streamed:
        return post(path, json.dumps(body).encode(), {}, expect=b'"choices"')
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    return post(path, json.dumps(body).encode(), {}, expect=b"[DONE]", events=events)


def port_of(server: asyncio.Server) -> int:
    return int(server.sockets[0].getsockname()[1])


async def load(port: int, request: Request, *, connections: int = 3, count: int = 10, grace: float = 5.0) -> Result:
    clients = await Clients.open(port, connections)
    try:
        return await clients.run(request, count=count, seconds=0.2 if grace < 1 else 5.0, grace=grace)
    finally:
        clients.close()


@pytest.fixture
async def vendor() -> AsyncIterator[int]:
    async with await serve(script(chunks=CHUNKS, delay=0.001)) as server:
        yield port_of(server)


@asynccontextmanager
async def answering(answer: bytes, *, hang_up: bool = False) -> AsyncIterator[int]:
    """A server with one fixed answer to whatever it is sent."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)
            if hang_up:
                break
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield port_of(server)


@pytest.mark.parametrize("model", [MODEL, MODEL + PACED])
async def test_every_chunk_of_every_stream_is_counted(vendor: int, model: str) -> None:
    result = await load(vendor, question(streamed=True, model=model))
    assert not result.errors
    assert result.requests == len(result.first) == 10
    assert result.events == 10 * EVENTS
    assert result.frames == 10 * EVENTS
    assert all(0 < first < whole for first, whole in zip(result.first, result.latency, strict=True))


async def test_a_paced_stream_takes_its_time(vendor: int) -> None:
    result = await load(vendor, question(streamed=True, model=MODEL + PACED), connections=1, count=2)
    # The first content comes with the role, the finish with the end: one write and one wait for each other chunk.
    assert min(result.latency) >= (CHUNKS - 2) * 1_000_000


async def test_whole_answers_are_counted_once_each(vendor: int) -> None:
    result = await load(vendor, question(streamed=False), count=25)
    assert (result.requests, result.events, result.errors.total()) == (25, 0, 0)
    assert result.elapsed >= max(result.latency)


async def test_a_refusal_is_an_error_and_no_latency(vendor: int) -> None:
    result = await load(vendor, question(streamed=False, path="/v1/nothing"))
    assert result.errors == {"status 404": 10}
    assert result.requests == 0


async def test_a_stream_that_lacks_a_chunk_is_an_error(vendor: int) -> None:
    result = await load(vendor, question(streamed=True, events=EVENTS + 1))
    assert result.errors == {f"{EVENTS} events of {EVENTS + 1}": 10}


async def test_an_answer_that_says_something_else_is_an_error() -> None:
    async with answering(COUNTED) as port:
        result = await load(port, question(streamed=False))
    assert result.errors == {"an answer without what it must hold": 10}


async def test_an_event_cut_between_its_two_newlines_is_one_event() -> None:
    parts = (b"data: 1\n", b"\ndata: 2\n\nda", b"ta: [DONE]\n", b"\n")
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    async with answering(CHUNKED + body + b"0\r\n\r\n") as port:
        result = await load(port, question(streamed=True, events=3), connections=1, count=1)
    assert not result.errors
    assert (result.events, result.frames) == (3, 4)


async def test_a_server_that_hangs_up_in_the_middle_is_asked_again_until_it_has_failed_enough() -> None:
    async with answering(COUNTED[:-1], hang_up=True) as port:
        result = await load(port, question(streamed=False), connections=1, count=100)
    assert result.errors == {"connection closed": MAX_ERRORS}


async def test_a_server_that_announces_that_it_hangs_up_costs_no_error() -> None:
    last = COUNTED.replace(b"content-length", b"Connection: Close\r\ncontent-length")
    async with answering(last, hang_up=True) as port:
        request = post("/", b"", {}, expect=b"hello")
        result = await load(port, request, connections=1, count=5)
    assert not result.errors
    assert result.requests == 5


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with answering(b"") as port:
        result = await load(port, question(streamed=False), connections=2, count=2, grace=0.1)
    assert result.errors == {"no answer in time": 2}


@given(cuts=st.sets(st.integers(1, 120)))
@pytest.mark.parametrize("message", [CHUNKED + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", COUNTED])
def test_a_message_reads_the_same_however_it_is_cut(message: bytes, cuts: set[int]) -> None:
    reader = Reader()
    body = b""
    edges = [0, *sorted(cut for cut in cuts if cut < len(message)), len(message)]
    for start, end in itertools.pairwise(edges):
        assert not reader.done
        body += reader.feed(message[start:end])
    assert reader.done
    assert body == b"hello world"
    assert reader.reset() == b""


@pytest.mark.parametrize(
    "message",
    [
        b"HTTP/1.1 200 OK\r\n\r\nuntil I hang up",
        CHUNKED + b"5\r\nhelloworld",
        CHUNKED + b"0\r\nsome: trailer\r\n\r\n",
        CHUNKED + b"ffffffff\r\n",
        b"x" * 70_000,
    ],
)
def test_what_the_reader_does_not_take_it_refuses(message: bytes) -> None:
    with pytest.raises(BrokenMessage):
        Reader().feed(message)


def test_percentiles_are_of_the_values_themselves() -> None:
    values = [number * 1_000_000 for number in range(1, 201)]
    assert percentile(values, 50) == 100
    assert percentile(values, 99) == 198
    assert math.isnan(percentile([], 50))
