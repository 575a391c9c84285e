"""A fake vendor that answers OpenAI chat completions from prebuilt bytes, fast enough never to be the bottleneck.

`POST …/chat/completions` is answered whole (about 1 KB) or, if the body says `"stream": true`, as a stream: the
chunk with the role and the first content in one write, as vendors send them, then a write a chunk, and at last
the finish reason, the usage (if `stream_options.include_usage` is set) and `[DONE]` in one write. The model
says how fast: `deepseek-chat` writes one chunk in each turn of the event loop, so that whatever stands in front is
the bottleneck; `deepseek-chat-paced` waits between two chunks, as real models do, so that each is a message of
its own to whoever stands in front. Any GET is answered 200: that is the ready check.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sys
from dataclasses import dataclass
from typing import cast

import uvloop

from bench.http1 import BrokenMessage, Reader

MODEL = "deepseek-chat"
PACED = "-paced"
"""What a model's name ends in if its chunks come one after another."""

CREATED = 1_750_000_000
PROMPT_TOKENS = 120

_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_PACED = re.compile(rb'"model"\s*:\s*"[^"]*%b"' % PACED.encode())
_SENTENCE = "An external processor sees few messages, since every message it sees costs it some microseconds. "

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nnot found"
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Everything the vendor ever says, ready to be written."""

    whole: bytes
    chunks: tuple[bytes, ...]
    """The writes of a stream but the last; the head is part of the first."""
    end: bytes
    end_with_usage: bytes
    delay: float
    """Seconds between the writes of a paced stream."""


def script(*, chunks: int, delay: float) -> Script:
    """Build the answers; `chunks` counts role and finish too (3 or more), usage and `[DONE]` come on top."""
    if chunks < 3:
        raise ValueError(f"{chunks} chunks: a stream has a role, a content and a finish at least")
    contents = [_event(_delta({"content": f" piece {i:04d} of text"})) for i in range(chunks - 2)]
    first = _STREAM_HEAD + _event(_delta({"role": "assistant", "content": ""})) + contents[0]
    finish = _event(_delta({}, finish="stop"))
    usage = _event({**_frame("chat.completion.chunk"), "choices": [], "usage": _usage(chunks)})
    done = _http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    return Script(
        whole=_whole(chunks),
        chunks=(first, *contents[1:]),
        end=finish + done,
        end_with_usage=finish + usage + done,
        delay=delay,
    )


def _whole(tokens: int) -> bytes:
    message = {"role": "assistant", "content": _SENTENCE * 7}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = json.dumps({**_frame("chat.completion"), "choices": [choice], "usage": _usage(tokens)}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _frame(kind: str) -> dict[str, object]:
    return {
        "id": "chatcmpl-3f1b7c8e5a924d0c9d21",
        "object": kind,
        "created": CREATED,
        "model": MODEL,
        "system_fingerprint": "fp_8802369eaa_prod0623_fp8",
    }


def _delta(delta: dict[str, str], finish: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_frame("chat.completion.chunk"), "choices": [choice]}


def _usage(tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": tokens,
        "total_tokens": PROMPT_TOKENS + tokens,
    }


def _event(data: dict[str, object]) -> bytes:
    return _http_chunk(b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n")


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Exchange(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, says: Script) -> None:
        self._says = says
        self._reader = Reader(length_if_absent=0)
        self._body = b""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            self._body += self._reader.feed(data)
        except BrokenMessage as error:
            print(f"vendor: {error}", file=sys.stderr)
            self._transport.abort()
            return
        if self._reader.done:
            self._answer(self._transport)

    def _answer(self, transport: asyncio.Transport) -> None:
        request, self._body = self._body, b""
        method, _, path = self._reader.head.partition(b"\r\n")[0].rpartition(b" ")[0].partition(b" ")
        # A client waits for its answer, so nothing has come behind the request.
        self._reader.reset()
        if method == b"GET":
            transport.write(_OK)
        elif not path.partition(b"?")[0].endswith(b"/chat/completions"):
            transport.write(_NOT_FOUND)
        elif not _STREAM.search(request):
            transport.write(self._says.whole)
        else:
            end = self._says.end_with_usage if _USAGE.search(request) else self._says.end
            self._write(0, end, self._says.delay if _PACED.search(request) else 0.0)

    def _write(self, index: int, end: bytes, delay: float) -> None:
        """Write a chunk. A slow reader is not waited for: a stream is a few tens of kilobytes in all."""
        if self._transport is None:
            return
        if index == len(self._says.chunks):
            self._transport.write(end)
            return
        self._transport.write(self._says.chunks[index])
        if delay:
            self._loop.call_later(delay, self._write, index + 1, end, delay)
        else:
            self._loop.call_soon(self._write, index + 1, end, delay)


async def serve(says: Script, port: int = 0) -> asyncio.Server:
    """Listen on loopback; port 0 takes a free one."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Exchange(says), "127.0.0.1", port, backlog=1024)


async def _main(says: Script, port: int) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with await serve(says, port):
        await stopped.wait()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.vendor", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunks", type=int, default=100, help="chunks a stream (default 100)")
    parser.add_argument("--delay-ms", type=float, default=2.0, help="between two chunks of a paced stream")
    args = parser.parse_args()
    uvloop.run(_main(script(chunks=args.chunks, delay=args.delay_ms / 1000), args.port))


if __name__ == "__main__":
    main()
