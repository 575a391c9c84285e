"""`python -m bench.chaos`: load on three vendors that fail at random; what the clients saw, and what it cost."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvloop

from bench.procfs import tree
from bench.running import Command, free_port, start

KEY = "sk-bench-chaos"
_CHUNKS = ("alpha ", "beta ", "gamma ")
_USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
_CUT = "cut after content"
_OPEN = "kept open after its end"
_PROGRESS = 60.0
"""Seconds between lines."""
_SETTLED = 12.0
"""Seconds that the last usage records may take."""


class Hang(Exception):
    """Never answer."""


def _json(status: int, body: object, *headers: str) -> bytes:
    text = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(text)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + text


def _error(status: int, *headers: str) -> Callable[[bool], bytes]:
    return lambda _: _json(status, {"error": {"message": "injected", "type": "server_error", "code": "x"}}, *headers)


def _stream(*events: str) -> bytes:
    body = b"".join(f"data: {event}\n\n".encode() for event in events)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def _delta(text: str | None, finish: str | None = None) -> str:
    delta = {} if text is None else {"content": text}
    return json.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _good(stream: bool) -> bytes:
    if stream:
        usage = json.dumps({"id": "c", "model": "m", "choices": [], "usage": _USAGE})
        return _stream(*map(_delta, _CHUNKS), _delta(None, "stop"), usage, "[DONE]")
    message = {"role": "assistant", "content": "".join(_CHUNKS)}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return _json(200, {"id": "c", "model": "m", "choices": choices, "usage": _USAGE})


def _inside(stream: bool) -> bytes:
    error = {"error": {"message": "injected", "type": "overloaded_error", "code": "overloaded"}}
    return _stream(json.dumps(error)) if stream else _json(200, error)


def _half(stream: bool) -> bytes:
    """Cut before the first content."""
    whole = _good(stream)
    return whole[: whole.index(b"\r\n\r\n") + (4 if stream else 20)]


def _unfinished(_: bool) -> bytes:
    """An error whose body does not end."""
    return b'HTTP/1.1 503 X\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{"error":'


def _open(stream: bool) -> bytes:
    """A whole stream, but for the end of its body."""
    return _good(stream).removesuffix(b"0\r\n\r\n")


def _hang(_: bool) -> bytes:
    raise Hang


def _cut(stream: bool) -> bytes:
    """Cut after the first content: nobody can make that good."""
    whole = _good(stream)
    return whole[: whole.index(_CHUNKS[0].encode()) + 60]


FAULTS: dict[str, Callable[[bool], bytes]] = {
    "500": _error(500),
    "503": _error(503),
    "429": _error(429, "retry-after: 1"),
    "529": _error(529),
    "an empty 503": lambda _: b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n",
    "an unfinished 503": _unfinished,
    "reset": lambda _: b"",
    "cut headers": lambda _: b"HTTP/1.1 200 OK\r\ncontent-",
    "cut before content": _half,
    "an error inside": _inside,
    "black hole": _hang,
    _CUT: _cut,
    _OPEN: _open,
}
_AT_RANDOM = [name for name in FAULTS if name not in (_CUT, _OPEN)]
_HELD = frozenset({"an unfinished 503", _OPEN})
_RESETTING = frozenset({"reset", "cut headers", "cut before content"})
CUT = "cut after content, and it shows"
"""What a client sees of a cut that it was right to be told of."""
LOST = "answered, then the connection was lost"
"""What a client sees of a stream that is kept open by a vendor that ended those before."""


@dataclass(slots=True)
class Vendor:
    """Answers, or fails so many of its calls."""

    share: float
    cuts: float
    """The share of streams that break off after content."""
    open: float
    """The share of streams that have no end after their last event."""
    chance: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, Hang):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        stream = b'"stream":true' in (await reader.readexactly(length)).replace(b" ", b"")
        self.calls += 1
        name = self._fault(stream)
        self.faults[name or "none"] += 1
        try:
            writer.write(FAULTS[name](stream) if name else _good(stream))
        except Hang:
            await reader.read()  # until the gateway gives up
            raise
        await writer.drain()
        if name in _HELD:
            await reader.read()  # likewise
            return False
        if name == _CUT:
            return False
        if name in _RESETTING:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
        return True

    def _fault(self, stream: bool) -> str:
        if stream and self.chance.random() < self.cuts:
            return _CUT
        if stream and self.chance.random() < self.open:
            return _OPEN
        return self.chance.choice(_AT_RANDOM) if self.chance.random() < self.share else ""


@dataclass(slots=True)
class Seen:
    """What the clients saw."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Requests."""
        return sum(self.outcomes.values())

    @property
    def answered(self) -> float:
        """The share of those that could be: nobody can make good what is cut after content."""
        return self.whole / max(self.total - self.outcomes[CUT], 1)

    @property
    def whole(self) -> int:
        """Whole answers."""
        return self.outcomes["answered"] + self.outcomes[LOST]

    def line(self) -> str:
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99)) if ordered else (0.0, 0.0)
        rest = "".join(f"; {name}: {count}" for name, count in self.outcomes.most_common() if name != "answered")
        return f"{self.total} requests, {100 * self.answered:.3f} % answered, p50 {p50:.1f} ms, p99 {p99:.0f} ms{rest}"


def main() -> int:
    """Run it; the exit status is 1 if fewer than 99.9 % were answered, a process ended, or a record is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--clients", type=int, default=16, help="at once (default 16)")
    parser.add_argument("--pause-ms", type=float, default=50.0, help="of a client between two requests (default 50)")
    parser.add_argument("--share", type=float, default=0.3, help="of calls that fail (default 0.3)")
    parser.add_argument("--cuts", type=float, default=0.0, help="of streams that break off after content (default 0)")
    parser.add_argument("--open", type=float, default=0.0, help="of streams that have no end (default 0)")
    parser.add_argument("--attempts", type=int, default=6, help="of a request at most (default 6)")
    parser.add_argument("--seed", type=int, default=1)
    return uvloop.run(_run(parser.parse_args()))


async def _run(args: argparse.Namespace) -> int:
    chance = random.Random(args.seed)
    vendors = [Vendor(args.share, args.cuts, args.open, random.Random(args.seed + number)) for number in range(3)]
    servers = [await asyncio.start_server(vendor.serve, "127.0.0.1", 0) for vendor in vendors]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder, port = Path(name), free_port()
        (folder / "gateway.yaml").write_text(_configuration(ports, args.attempts), "utf-8")
        options = ["--config", str(folder / "gateway.yaml"), "--state", str(folder / "state"), "--port", str(port)]
        command = Command(argv=(sys.executable, "-m", "processor", "up", *options))
        running = await asyncio.to_thread(lambda: start(command, port=port, ready="/healthz", folder=folder))
        try:
            seen, steady = await _load(args, port, running.process.pid, chance)
            recorded = await _recorded(folder / "state" / "usage.db", seen.total)
        finally:
            await asyncio.to_thread(running.stop)
            for server in servers:
                server.close()
    calls = sum(vendor.calls for vendor in vendors)
    faults = sum((vendor.faults for vendor in vendors), Counter())
    print(f"vendors: {calls} calls, {100 * (1 - faults['none'] / calls):.1f} % failed: {dict(faults)}")
    print(f"total: {seen.line()}")
    print(f"usage records: {recorded}")
    print(f"processes: {'the same from beginning to end' if steady else 'SOME ENDED'}")
    good = seen.answered > 0.999 and steady and recorded.complete(seen)
    return 0 if good else 1


def _configuration(ports: list[int], attempts: int) -> str:
    hosts = [f"{{dialect: openai, base_url: 'http://127.0.0.1:{port}'}}" for port in ports]
    providers = "\n".join(f"  vendor{number}: {host}" for number, host in enumerate(hosts))
    targets = ", ".join(f"{{provider: vendor{number}, model: m}}" for number in range(len(ports)))
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    return f"""
providers:
{providers}
models:
  chaos: {{strategy: weighted, targets: [{targets}], retry: {{attempts: {attempts}, ttft: 1s, idle: 2s, budget: 100%}}}}
keys: [{{name: bench, sha256: {digest}}}]
"""


async def _load(args: argparse.Namespace, port: int, pid: int, chance: random.Random) -> tuple[Seen, bool]:
    seen, ends = Seen(), time.monotonic() + args.minutes * 60
    before = {process.pid for process in tree(pid)}

    async def client() -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as http:
            while time.monotonic() < ends:
                began = time.monotonic()
                seen.outcomes[await _ask(http, stream=chance.random() < 0.5)] += 1
                seen.seconds.append(time.monotonic() - began)
                await asyncio.sleep(chance.random() * args.pause_ms / 500)

    async def progress() -> None:
        print(f"    0 s: {_memory(pid)}", flush=True)
        began = time.monotonic()
        while True:
            await asyncio.sleep(_PROGRESS)
            print(f"{time.monotonic() - began:5.0f} s: {seen.line()}; {_memory(pid)}", flush=True)

    reporting = asyncio.create_task(progress())
    await asyncio.gather(*(client() for _ in range(args.clients)))
    reporting.cancel()
    print(f"  end: {_memory(pid)}")
    return seen, before <= {process.pid for process in tree(pid)}


async def _ask(http: httpx.AsyncClient, *, stream: bool) -> str:
    body = {"model": "chaos", "messages": [{"role": "user", "content": "Say it."}], "stream": stream}
    received = b""
    try:
        async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for piece in answer.aiter_bytes():
                received += piece
    except httpx.HTTPError as error:
        return _broken(received) if stream else type(error).__name__
    if answer.status_code != 200:
        return f"{answer.status_code} {json.loads(received)['error']['code']}"
    if stream:
        text, whole = _said(received)
    else:
        text, whole = json.loads(received)["choices"][0]["message"]["content"], True
    return "answered" if whole and text == "".join(_CHUNKS) else "WRONG ANSWER"


def _said(received: bytes) -> tuple[str, bool]:
    """The text of a stream, and whether it says that it is whole."""
    events = [line[6:] for line in received.decode().splitlines() if line.startswith("data: ")]
    said = [json.loads(event).get("choices") for event in events if event != "[DONE]"]
    text = "".join(choices[0]["delta"].get("content") or "" for choices in said if choices)
    return text, events[-1:] == ["[DONE]"]


def _broken(received: bytes) -> str:
    """What a stream comes to that broke off."""
    text, whole = _said(received)
    if whole:
        return LOST if text == "".join(_CHUNKS) else "WRONG ANSWER"
    return CUT if text and "".join(_CHUNKS).startswith(text) else "broken off without content"


def _memory(pid: int) -> str:
    held = sorted((_name(process.pid), process.rss // 2**20) for process in tree(pid))
    return "MiB: " + ", ".join(f"{name} {size}" for name, size in held)


def _name(pid: int) -> str:
    """What a process of the gateway is: `envoy`, `up`, `worker`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "ended"
    after = words.index("processor") + 1 if "processor" in words else 0
    return Path(words[after]).name


@dataclass(frozen=True, slots=True)
class Records:
    """What was recorded."""

    count: int
    distinct: int
    answered: int
    """Those with the vendor's own count."""
    tokens: int
    """Of these."""
    partial: int
    stray: int
    """Tokens of requests that nobody answered."""

    def complete(self, seen: Seen) -> bool:
        """Each request once; ten tokens for each that was answered, and none for those that nobody did."""
        answered, cut = seen.whole, seen.outcomes[CUT]
        counts = (self.count, self.distinct, self.answered, self.partial, self.tokens, self.stray)
        return counts == (seen.total, seen.total, answered, cut, 10 * answered, 0)


async def _recorded(path: Path, wanted: int) -> Records:
    ends = time.monotonic() + _SETTLED
    query = """SELECT count(*), count(DISTINCT request_id), sum(usage_source = 'provider'),
                      sum((input_tokens + output_tokens) * (usage_source = 'provider')),
                      sum(usage_source = 'partial'),
                      sum((input_tokens + output_tokens) * (usage_source NOT IN ('provider', 'partial')))
               FROM usage WHERE operation = 'chat'"""
    while True:
        with sqlite3.connect(path) as db:
            found = Records(*(value or 0 for value in db.execute(query).fetchone()))
        if found.count >= wanted or time.monotonic() > ends:
            return found
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
