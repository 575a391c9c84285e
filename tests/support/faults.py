"""What vendors do wrong: each fault as a script for the fake vendor, whole and streamed."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trustme

from tests.support.fake_vendor import CLOSE, HANG, RESET, Reply, chat_chunks, chat_reply, chat_stream, sse_event
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_openai import chat_completion, openai_error

TEXT = "All is well."
USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
IN_BAND = {"error": {"message": "The engine is overloaded.", "type": "overloaded_error", "code": "overloaded"}}
_EVENTS = (("content-type", "text/event-stream"),)

_LONG = 60.0
"""Seconds: longer than a test waits for any answer."""
_MIB = 1024 * 1024

Answer = Reply | Callable[[Received], Reply]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a vendor answers to a whole and to a streamed request."""

    whole: Answer
    streamed: Answer


def good(*, stream: bool) -> Reply:
    """What a vendor that is well answers."""
    return chat_stream(list(_pieces()), usage=USAGE) if stream else chat_reply(TEXT, usage=USAGE)


def _pieces() -> tuple[str, ...]:
    first, rest = TEXT.split(" ", 1)
    return first + " ", rest


def both(reply: Answer) -> Fault:
    return Fault(reply, reply)


def once(first: Reply) -> Fault:
    """The first answer, then a good one."""
    counts = itertools.count()

    def answer(request: Received) -> Reply:
        return good(stream=bool(request.json().get("stream"))) if next(counts) else first

    return Fault(answer, answer)


def _chunks() -> list[dict[str, object]]:
    return list(chat_chunks(list(_pieces()), usage=USAGE))


def _after_content(*then: object) -> Reply:
    """The role and two pieces of text, then something else."""
    return Reply.sse([*_chunks()[:3], *then])  # type: ignore[list-item]


def _packed(data: bytes, *, cut: int | None = None) -> bytes:
    return gzip.compress(data)[:cut]


def _body() -> bytes:
    return json.dumps(chat_completion(TEXT, usage=USAGE)).encode()


def _stream_bytes() -> bytes:
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks()]
    return "".join([*events, "data: [DONE]\n\n"]).encode()


def _trickled(data: bytes, headers: tuple[tuple[str, str], ...]) -> Reply:
    return Reply.stream([bytes([byte]) for byte in data], headers=headers)


def _huge_event() -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * (20 * _MIB)


def _padded(size: int) -> Fault:
    """A good answer, with so many bytes nobody asked for in one piece of it."""
    padding = {"padding": "x" * size}
    first, *rest = _chunks()
    return Fault(
        Reply.json({**chat_completion(TEXT, usage=USAGE), **padding}),
        Reply.sse([first, {**rest[0], **padding}, *rest[1:], "[DONE]"]),
    )


_JSON = (("content-type", "application/json"),)
_GZIP = ("content-encoding", "gzip")

FAULTS: Mapping[str, Callable[[], Fault]] = {
    "429": lambda: both(openai_error(429, "slow down")),
    "429 with Retry-After": lambda: both(openai_error(429, "slow down", headers=[("retry-after-ms", "200")])),
    "500 once": lambda: once(openai_error(500, "oops")),
    "503 always": lambda: both(openai_error(503, "busy")),
    "529": lambda: both(openai_error(529, "overloaded")),
    "reset before headers": lambda: both(Reply.reset()),
    "hang-up before headers": lambda: both(Reply.hang_up()),
    "black hole": lambda: both(Reply.never()),
    "slow headers": lambda: Fault(good(stream=False).after(_LONG), good(stream=True).after(_LONG)),
    "slow first token": lambda: Fault(Reply.head_only(headers=_JSON), Reply.head_only(headers=_EVENTS)),
    "cut in the middle": lambda: Fault(chat_reply(TEXT, usage=USAGE).cut(40, RESET), _after_content(0.1, RESET)),
    "hang-up in the middle": lambda: Fault(chat_reply(TEXT, usage=USAGE).cut(40, CLOSE), _after_content(0.1, CLOSE)),
    "end without a finish": lambda: Fault(Reply.of(_body()[:-20], headers=_JSON), _after_content()),
    "stall": lambda: Fault(Reply.stream([_body()[:40], _LONG], headers=_JSON), _after_content(_LONG)),
    "error after content": lambda: Fault(Reply.json(IN_BAND), _after_content(0.1, IN_BAND)),
    "malformed event": lambda: Fault(
        Reply.of(b"<html>", headers=_JSON),
        Reply.sse([*_chunks()[:2], b'data: {"choices": [}\n\n', *_chunks()[2:], "[DONE]"]),
    ),
    "no [DONE]": lambda: Fault(good(stream=False), Reply.sse(_chunks())),
    "error inside a 200": lambda: both(Reply.json(IN_BAND)),
    "error as first event": lambda: Fault(Reply.json(IN_BAND), Reply.sse([IN_BAND])),
    "context length": lambda: both(
        openai_error(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")
    ),
    "content filter": lambda: both(openai_error(400, "The content is filtered.", code="content_filter")),
    "bad request": lambda: both(openai_error(400, "temperature is too high", code="invalid_value")),
    "wrong key": lambda: both(openai_error(401, "Incorrect API key provided: sk-***9", code="invalid_api_key")),
    "gzip": lambda: Fault(
        Reply.of(_packed(_body()), headers=[*_JSON, _GZIP]),
        Reply.of(_packed(_stream_bytes()), headers=[*_EVENTS, _GZIP]),
    ),
    "gzip, truncated": lambda: Fault(
        Reply.of(_packed(_body(), cut=-30), headers=[*_JSON, _GZIP]),
        Reply.of(_packed(_stream_bytes(), cut=20), headers=[*_EVENTS, _GZIP]),
    ),
    "chunk of 2 MiB": lambda: _padded(2 * _MIB),
    "event of 8 MiB": lambda: _padded(8 * _MIB),
    "oversized event": lambda: Fault(good(stream=False), Reply.stream([_huge_event()], headers=_EVENTS)),
    "trickle": lambda: Fault(_trickled(_body(), _JSON), _trickled(_stream_bytes(), _EVENTS)),
}
"""By name, in the order of the table."""

LARGE = frozenset({"chunk of 2 MiB", "event of 8 MiB", "oversized event"})
"""Those that take a machine's time."""
UNREACHABLE = ("connection refused", "TLS failure", "unknown host")
"""Faults of a whole provider: its base URL is wrong."""

EMPTY: Mapping[str, Callable[[], Fault]] = {
    "503 without a body": lambda: both(Reply.of(status=503)),
    "429 without a body": lambda: both(Reply.of(status=429)),
    "400 without a body": lambda: both(Reply.of(status=400)),
    "200 without a body": lambda: both(Reply.of(headers=_JSON)),
    "204": lambda: both(Reply.of(status=204)),
    "redirect": lambda: both(Reply.of(status=307, headers=[("location", "http://127.0.0.1:9/")])),
}
"""Answers that are headers alone, as a balancer in front of a vendor gives them."""

OPEN: Mapping[str, Callable[[], Fault]] = {
    "whole answer that stalls": lambda: both(Reply.stream([_body()[:40], HANG], headers=_JSON)),
    "refusal that stalls": lambda: both(Reply.stream([b'{"error":', HANG], headers=_JSON, status=503)),
    "error event, held open": lambda: both(Reply.sse([IN_BAND, HANG])),
    "comments alone": lambda: both(Reply.sse([b": ping\n\n", 0.1] * 600)),
    "not gzip, held open": lambda: both(Reply.stream([b"xxxxxxx", HANG], headers=[*_JSON, _GZIP])),
}
"""Answers that are over for the gateway before the vendor has ended them."""


def interim_and_silent() -> Fault:
    """An interim answer, and no other."""
    return both(Reply.raw(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", HANG))


def done_and_held_open() -> Fault:
    """A whole stream whose connection does not end."""
    return both(Reply.sse([*_chunks(), "[DONE]", HANG]))


def done_and_ended_after(seconds: float) -> Fault:
    """A whole stream that does not end at once."""
    return both(Reply.sse([*_chunks(), "[DONE]", seconds]))


def stalled_after_content() -> Fault:
    """A stream that has begun, and says no more."""
    return both(_after_content(HANG))


def cut_at_once() -> Fault:
    """A stream whose connection ends with its first content, in one write."""
    events = b"".join(sse_event(chunk) for chunk in _chunks()[:3])
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return both(Reply.raw(b"%b%x\r\n%b" % (head, len(events) + 1, events)))


@asynccontextmanager
async def untrusted_tls() -> AsyncIterator[int]:
    """A TLS server with a certificate that nobody trusts; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


class Vendors:
    """Answers each request by what its prompt says: which fault is wanted of the first vendor."""

    def __init__(self) -> None:
        self.faults: dict[str, Fault] = {}
        self.tried: defaultdict[str, list[str]] = defaultdict(list)

    def __call__(self, request: Received) -> Reply:
        asked = request.json()
        prompt, stream = asked["messages"][0]["content"], bool(asked.get("stream"))
        provider = request.path.split("/")[1]
        self.tried[prompt].append(provider)
        if provider == "second":
            return good(stream=stream)
        fault = self.faults[prompt]
        answer = fault.streamed if stream else fault.whole
        return answer if isinstance(answer, Reply) else answer(request)
