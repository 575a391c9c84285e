from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_vendor_http import BadRequestBytes, Framing, Received, RequestReader

LENGTH = b"POST /a/%E4%BD%A0?q=1&q=2 HTTP/1.1\r\nHost: V\r\nX-Two: 1\r\ncontent-length: 5\r\nx-two:  2 \r\n\r\nhello"
CHUNKED = (
    b"POST /chunked HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-Trailer: last\r\n\r\n"
)
BARE = b"GET / HTTP/1.0\r\n\r\n"
CHUNKED_BARE = b"PUT /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
ALL = LENGTH + CHUNKED + BARE + CHUNKED_BARE


def read(*pieces: bytes) -> list[Received]:
    reader = RequestReader(1)
    got = []
    for piece in pieces:
        reader.feed(piece)
        while (request := reader.next()) is not None:
            got.append(request)
    assert reader.rest() == b""
    return got


def test_a_request_is_kept_exactly_as_it_came() -> None:
    [request] = read(LENGTH)
    assert (request.method, request.target, request.version) == ("POST", "/a/%E4%BD%A0?q=1&q=2", "1.1")
    assert (request.path, request.query) == ("/a/%E4%BD%A0", "q=1&q=2")
    assert request.headers == (("Host", "V"), ("X-Two", "1"), ("content-length", "5"), ("x-two", "2"))
    assert request.head + request.body == LENGTH
    assert (request.framing, request.chunk_sizes, request.body) == (Framing.LENGTH, (), b"hello")


def test_headers_are_found_without_regard_to_case_and_duplicates_are_not_overlooked() -> None:
    [request] = read(LENGTH)
    assert request.header("HOST") == "V"
    assert request.header("authorization") is None
    assert request.all("X-TWO") == ["1", "2"]
    with pytest.raises(AssertionError, match="sent 2 times"):
        request.header("x-two")


def test_a_chunked_body_is_joined_and_its_framing_remembered() -> None:
    [request] = read(CHUNKED)
    assert (request.framing, request.body, request.chunk_sizes) == (Framing.CHUNKED, b"abc0123456789", (3, 10))
    assert request.trailers == (("X-Trailer", "last"),)


def test_a_request_without_a_body_is_told_from_one_with_an_empty_one() -> None:
    bare, chunked, empty = read(BARE, CHUNKED_BARE, b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
    assert (bare.framing, chunked.framing, empty.framing) == (Framing.NONE, Framing.CHUNKED, Framing.LENGTH)
    assert {bare.body, chunked.body, empty.body} == {b""}


def test_requests_that_come_together_are_the_same_as_those_that_come_byte_by_byte() -> None:
    whole = read(ALL)
    assert [request.path for request in whole] == ["/a/%E4%BD%A0", "/chunked", "/", "/c"]
    assert read(*(ALL[at : at + 1] for at in range(len(ALL)))) == whole


@given(st.lists(st.integers(0, len(ALL)), max_size=8))
@settings(max_examples=60)
def test_requests_may_be_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(ALL)]
    assert read(*(ALL[start:stop] for start, stop in pairwise(edges))) == read(ALL)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nname : v\r\n\r\n",
        b"GET / HTTP/1.1\r\na: 1\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\na",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"GET / HTTP/1.1\r\na: " + b"x" * 300_000,
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestBytes):
        read(data)


@pytest.mark.parametrize(("sent", "body"), [(LENGTH[:-2], b"hel"), (CHUNKED[:-22], b"abc0123456789")])
def test_a_request_that_is_cut_off_is_kept_as_far_as_it_came(sent: bytes, body: bytes) -> None:
    reader = RequestReader(3)
    reader.feed(sent)
    assert reader.next() is None
    cut = reader.cut()
    assert cut is not None
    assert (cut.complete, cut.body, cut.connection) == (False, body, 3)


def test_between_requests_nothing_is_cut_off() -> None:
    reader = RequestReader(1)
    reader.feed(LENGTH)
    assert reader.next() is not None
    assert reader.cut() is None


def test_a_client_that_waits_for_continue_is_told_of_once() -> None:
    reader = RequestReader(1)
    reader.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert reader.next() is None
    assert reader.continue_wanted()
    assert not reader.continue_wanted()
    reader.feed(b"ok")
    assert (request := reader.next()) is not None
    assert request.body == b"ok"
