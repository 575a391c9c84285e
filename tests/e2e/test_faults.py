"""Every fault of a vendor, whole and streamed, with and without somebody who can make it good.

What a client sees, who is tried and what is recorded stand in the table of docs/failover.md, which this file checks.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import trustme

from tests.support.fake_vendor import FakeVendor, Reply
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_openai import openai_error
from tests.support.faults import FAULTS, TEXT, UNREACHABLE, USAGE, Fault, both, good
from tests.support.gateway import KEY_SHA256, Gateway, free_port

PATIENCE = 0.5
"""Seconds to the first content, and between two pieces."""
DOCUMENT = Path(__file__).parents[2] / "docs/failover.md"
_ROW = re.compile(r"^\| (.+ \| (?:whole|streamed) \| .+) \|$", re.MULTILINE)
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a request."""

    client: str
    tried: str
    record: str

    def __str__(self) -> str:
        return f"{self.client}; {self.tried}; {self.record}"


@pytest.fixture(scope="module")
def vendors() -> Vendors:
    return Vendors()


@pytest_asyncio.fixture(scope="module")
async def vendor(vendors: Vendors) -> AsyncIterator[FakeVendor]:
    async with FakeVendor(vendors) as running:
        yield running


@pytest_asyncio.fixture(scope="module")
async def gateway(vendor: FakeVendor, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    strangers = trustme.CA()
    context = strangers.issue_cert("localhost")
    async with tls_server(context) as tls_port:
        hosts = {
            "connection-refused": f"http://127.0.0.1:{free_port()}",
            "TLS-failure": f"https://localhost:{tls_port}",
            "unknown-host": "http://nowhere.invalid",
        }
        providers = {"first": f"{vendor.url}/first", "second": f"{vendor.url}/second", **hosts}
        entries = "\n".join(f"  {n}: {{dialect: openai, base_url: {url}, connect: 2s}}" for n, url in providers.items())
        retry = f"retry: {{attempts: 2, ttft: {PATIENCE}s, idle: {PATIENCE}s}}"
        models = "\n".join(
            f"  alone-{name}: {{targets: [{{provider: {name}, model: a}}], {retry}}}\n"
            f"  backed-{name}: {{targets: [{{provider: {name}, model: a}}, {{provider: second, model: b}}], {retry}}}"
            for name in ("first", *hosts)
        )
        config = f"""
circuit: {{failures: 0}}
providers:
{entries}
models:
{models}
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""
        async with Gateway(tmp_path_factory.mktemp("faults"), config) as running:
            yield running


class tls_server:  # noqa: N801 - used as a function
    """A TLS server with a certificate that nobody trusts."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        import ssl

        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(self._context)

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=self._context)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


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


async def ask(gateway: Gateway, vendors: Vendors, model: str, prompt: str, *, stream: bool) -> Seen:
    """Send one request, and look at it from all sides."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, "max_tokens": 9}
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=15) as client:
        text, broken = b"", False
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            try:
                async for piece in answer.aiter_bytes():
                    text += piece
            except httpx.RemoteProtocolError:
                broken = True
    elapsed = time.monotonic() - began
    # Two attempts at most; the rest is the machine's to be slow in.
    assert elapsed < 2 * PATIENCE + 8, "nobody hangs beyond the limits"
    record = await gateway.record_of(answer)
    client_saw = _client(answer.status_code, text, stream=stream, broken=broken)
    return Seen(client_saw, ", ".join(vendors.tried[prompt]) or "none reached", _recorded(record))


def _client(status: int, text: bytes, *, stream: bool, broken: bool) -> str:
    if status != 200:
        assert not broken
        error = json.loads(text)["error"]
        assert error["message"]
        assert "sk-" not in error["message"]
        return f"{status} `{error['code']}`"
    if not stream:
        assert not broken, "a whole answer is whole"
        assert json.loads(text)["choices"][0]["message"]["content"] == TEXT
        return "answered"
    events = [line[6:] for line in text.decode().splitlines() if line.startswith("data: ")]
    said = "".join(
        choice["delta"].get("content") or ""
        for event in events
        if event != "[DONE]"
        for choice in json.loads(event).get("choices", ())
    )
    if broken:
        assert TEXT.startswith(said)
        assert "[DONE]" not in events, "what broke off does not look complete"
        code = next((json.loads(event)["error"]["code"] for event in events if '"error"' in event), None)
        return f"content, then error event `{code}`, broken off" if code else "content, broken off"
    assert (said, events.count("[DONE]"), events[-1]) == (TEXT, 1, "[DONE]")
    return "answered"


def _recorded(record: dict[str, Any]) -> str:
    tokens = (record["input_tokens"], record["output_tokens"])
    failed = json.loads(record["failed_attempts"] or "[]")
    source = record["usage_source"]
    if source == "provider":
        assert tokens == (USAGE["prompt_tokens"], USAGE["completion_tokens"]), "the bill is the vendor's"
    elif source == "none":
        assert tokens == (0, 0), "nothing is billed that nobody said"
    return f"{record['status']} {source}" + (f", {len(failed)} failed" if failed else "")


CASES = [(name, stream) for name in FAULTS for stream in (False, True)]
CASES += [(name, stream) for name in UNREACHABLE for stream in (False, True)]


async def row(gateway: Gateway, vendors: Vendors, name: str, *, stream: bool) -> str:
    """A row of the table, as it happens."""
    kind = "streamed" if stream else "whole"
    provider = name.replace(" ", "-") if name in UNREACHABLE else "first"
    cells = []
    for company in ("alone", "backed"):
        prompt = f"{name}, {kind}, {company}"
        if name in FAULTS:
            vendors.faults[prompt] = FAULTS[name]()
        cells.append(await ask(gateway, vendors, f"{company}-{provider}", prompt, stream=stream))
    return " | ".join([name, kind, *map(str, cells)])


@pytest_asyncio.fixture(scope="module")
async def rows(gateway: Gateway, vendors: Vendors) -> dict[tuple[str, bool], str | BaseException]:
    """All of them, several at a time."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, *, stream: bool) -> str:
        async with turns:
            return await row(gateway, vendors, name, stream=stream)

    found = await asyncio.gather(*(one(name, stream=stream) for name, stream in CASES), return_exceptions=True)
    return dict(zip(CASES, found, strict=True))


@pytest.mark.parametrize("case", CASES, ids=[f"{n}, {'streamed' if s else 'whole'}" for n, s in CASES])
def test_a_fault_comes_to_what_the_table_says(
    rows: dict[tuple[str, bool], str | BaseException], case: tuple[str, bool]
) -> None:
    seen = rows[case]
    if isinstance(seen, BaseException):
        raise seen
    assert seen in _ROW.findall(DOCUMENT.read_text("utf-8"))


async def test_a_vendor_that_flaps_is_made_good_every_time(gateway: Gateway, vendors: Vendors) -> None:
    turn = itertools.count()

    def flapping(_: Received) -> Reply:
        return openai_error(503, "busy") if next(turn) % 2 else good(stream=False)

    vendors.faults["flapping"] = both(flapping)
    seen = [(await ask(gateway, vendors, "backed-first", "flapping", stream=False)).client for _ in range(12)]
    assert seen == ["answered"] * 12
    assert vendors.tried["flapping"].count("second") == 6


def test_the_table_has_a_row_for_every_fault_and_no_other() -> None:
    told = [tuple(line.split(" | ")[:2]) for line in _ROW.findall(DOCUMENT.read_text("utf-8"))]
    assert told == [(name, "streamed" if stream else "whole") for name, stream in CASES]
