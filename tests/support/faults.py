"""What vendors do wrong: each fault as a script for the fake vendor, whole and streamed."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.support.fake_vendor import CLOSE, RESET, Reply, chat_chunks, chat_reply, chat_stream
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_openai import chat_completion, openai_error

TEXT = "All is well."
USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
IN_BAND = {"error": {"message": "The engine is overloaded.", "type": "overloaded_error", "code": "overloaded"}}
_EVENTS = (("content-type", "text/event-stream"),)

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
    return b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * (20 * 1024 * 1024)


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
    "slow headers": lambda: Fault(good(stream=False).after(5.0), good(stream=True).after(5.0)),
    "slow first token": lambda: Fault(Reply.head_only(headers=_JSON), Reply.head_only(headers=_EVENTS)),
    "cut in the middle": lambda: Fault(chat_reply(TEXT, usage=USAGE).cut(40, RESET), _after_content(0.1, RESET)),
    "hang-up in the middle": lambda: Fault(chat_reply(TEXT, usage=USAGE).cut(40, CLOSE), _after_content(0.1, CLOSE)),
    "end without a finish": lambda: Fault(Reply.of(_body()[:-20], headers=_JSON), _after_content()),
    "stall": lambda: Fault(Reply.stream([_body()[:40], 5.0], headers=_JSON), _after_content(5.0)),
    "error after content": lambda: Fault(both_in_band(), _after_content(0.1, IN_BAND)),
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
    "oversized event": lambda: Fault(good(stream=False), Reply.stream([_huge_event()], headers=_EVENTS)),
    "trickle": lambda: Fault(_trickled(_body(), _JSON), _trickled(_stream_bytes(), _EVENTS)),
}
"""By name, in the order of the table."""

UNREACHABLE = ("connection refused", "TLS failure", "unknown host")
"""Faults of a whole provider: its base URL is wrong."""


def both_in_band() -> Reply:
    """An error inside a whole 200."""
    return Reply.json(IN_BAND)
