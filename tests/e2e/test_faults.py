"""Every fault of a vendor, whole and streamed, with and without somebody who can make it good.

What a client sees, who is tried and what is recorded stand in the table of docs/failover.md, which this file checks.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.fake_vendor import FakeVendor, Reply
from tests.support.fake_vendor_http import Received
from tests.support.fake_vendor_openai import openai_error
from tests.support.faults import (
    EMPTY,
    FAULTS,
    LARGE,
    OPEN,
    TEXT,
    UNREACHABLE,
    USAGE,
    Vendors,
    both,
    cut_at_once,
    done_and_ended_after,
    done_and_held_open,
    good,
    interim_and_silent,
    stalled_after_content,
    untrusted_tls,
)
from tests.support.gateway import KEY_SHA256, Gateway, free_port, until

PATIENCE = 0.5
"""Seconds to the first content, and between two pieces."""
DOCUMENT = Path(__file__).parents[2] / "docs/failover.md"
_ROW = re.compile(r"^\| (.+ \| (?:whole|streamed) \| .+) \|$", re.MULTILINE)
_AT_ONCE = 16


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
    async with untrusted_tls() as tls_port:
        hosts = {
            "connection-refused": f"http://127.0.0.1:{free_port()}",
            "TLS-failure": f"https://localhost:{tls_port}",
            "unknown-host": "http://nowhere.invalid",
        }
        providers = {"first": f"{vendor.url}/first", "second": f"{vendor.url}/second", **hosts}
        entries = "\n".join(f"  {n}: {{dialect: openai, base_url: {url}, connect: 2s}}" for n, url in providers.items())
        retry = f"retry: {{attempts: 2, ttft: {PATIENCE}s, idle: {PATIENCE}s, budget: 100%}}"
        models = "\n".join(
            f"  alone-{name}: {{targets: [{{provider: {name}, model: a}}], {retry}}}\n"
            f"  backed-{name}: {{targets: [{{provider: {name}, model: a}}, {{provider: second, model: b}}], {retry}}}"
            for name in ("first", *hosts)
        )
        unbacked = "\n".join(
            f"  first-{name}: {{targets: [{{provider: first, model: a}}, {{provider: {name}, model: b}}], {retry}}}"
            for name in ("first", *hosts)
        )
        config = f"""
circuit: {{failures: 0}}
providers:
{entries}
models:
{models}
{unbacked}
  unknown-first: {{targets: [{{provider: unknown-host, model: a}}, {{provider: first, model: b}}], {retry}}}
  unknown-first-second:
    targets: [{{provider: unknown-host, model: a}}, {{provider: first, model: b}}, {{provider: second, model: c}}]
    retry: {{attempts: 3}}
  fresh-first: {{targets: [{{provider: first, model: fresh}}], {retry}}}
  open-first: {{targets: [{{provider: first, model: open}}], {retry}}}
  saved:
    rescue: restart
    targets: [{{provider: first, model: a}}, {{provider: second, model: b}}]
    {retry}
keys: [{{name: tests, sha256: {KEY_SHA256}}}]
"""
        async with Gateway(tmp_path_factory.mktemp("faults"), config) as running:
            yield running


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
    _check_target(answer.headers, record, vendors.tried[prompt])
    return Seen(client_saw, ", ".join(vendors.tried[prompt]) or "none reached", _recorded(record))


def _check_target(headers: httpx.Headers, record: dict[str, Any], tried: list[str]) -> None:
    """Whoever is named did answer, and each failure before it is told."""
    target = headers.get("x-gateway-target")
    if target is None:  # Envoy's own reply
        assert record["usage_source"] == "none"
        return
    assert target.split("/")[0] == tried[-1] == record["provider"]
    failed = json.loads(record["failed_attempts"] or "[]")
    assert int(headers["x-gateway-attempts"]) == len(failed) + 1
    assert all(attempt["target"] and attempt["error"] and attempt.get("ms", 0) >= 0 for attempt in failed)


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
    elif source == "partial":
        assert record["input_tokens"] > 0
        assert 0 < record["output_tokens"] <= USAGE["completion_tokens"], "no more than was said"
    else:
        assert (source, tokens) == ("none", (0, 0)), "nothing is billed that nobody said"
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
    """All of them, several at a time, the large ones by themselves."""
    turns, alone = asyncio.Semaphore(_AT_ONCE), asyncio.Lock()

    async def one(name: str, *, stream: bool) -> str:
        async with alone if name in LARGE else turns:
            return await row(gateway, vendors, name, stream=stream)

    found: dict[tuple[str, bool], str | BaseException] = {}
    # The large ones keep a busy machine from being in time with the others.
    for group in ([case for case in CASES if case[0] not in LARGE], [case for case in CASES if case[0] in LARGE]):
        seen = await asyncio.gather(*(one(name, stream=stream) for name, stream in group), return_exceptions=True)
        found |= zip(group, seen, strict=True)
    return found


@pytest.mark.parametrize("case", CASES, ids=[f"{n}, {'streamed' if s else 'whole'}" for n, s in CASES])
def test_a_fault_comes_to_what_the_table_says(
    rows: dict[tuple[str, bool], str | BaseException], case: tuple[str, bool]
) -> None:
    seen = rows[case]
    if isinstance(seen, BaseException):
        raise seen
    told = _ROW.findall(DOCUMENT.read_text("utf-8"))
    assert seen in told, f"{DOCUMENT.name} should have the row\n| {seen} |"


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


@pytest.mark.parametrize("name", EMPTY)
async def test_an_answer_without_a_body_becomes_an_error_with_one(
    gateway: Gateway, vendors: Vendors, name: str
) -> None:
    vendors.faults[name] = EMPTY[name]()
    async with impatient_client(gateway) as client:
        answer = await client.post("/v1/chat/completions", json=asked("alone-first", name))
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("name", OPEN)
async def test_after_an_error_the_connection_is_free_and_the_vendor_let_go(
    gateway: Gateway, vendors: Vendors, vendor: FakeVendor, name: str
) -> None:
    vendors.faults[name] = OPEN[name]()
    vendors.faults["next"] = both(good(stream=False))
    async with impatient_client(gateway) as client:
        refused = await client.post("/v1/chat/completions", json=asked("alone-first", name, stream=True))
        assert refused.json()["error"]["code"]
        answer = await client.post("/v1/chat/completions", json=asked("alone-first", "next"))
        assert answer.status_code == 200
        await let_go(vendor, name)


async def test_a_rescued_stream_lets_go_of_the_vendor_that_stalled(
    gateway: Gateway, vendors: Vendors, vendor: FakeVendor
) -> None:
    vendors.faults["rescued"] = stalled_after_content()
    async with impatient_client(gateway) as client:
        answer = await client.post("/v1/chat/completions", json=asked("saved", "rescued", stream=True))
        assert "rescued by second/b" in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
        await let_go(vendor, "rescued")
        assert "use after free" not in (gateway.state / "envoy.log").read_text()


async def test_a_stream_that_has_said_done_is_whole_though_the_vendor_keeps_it_open(
    gateway: Gateway, vendors: Vendors, vendor: FakeVendor
) -> None:
    for prompt in ("done", "done, once more"):
        vendors.faults[prompt] = done_and_held_open()
        assert str(await ask(gateway, vendors, "open-first", prompt, stream=True)) == "answered; first; 200 provider"
        await let_go(vendor, prompt)


async def test_after_a_stream_that_was_kept_open_the_client_s_connection_is_free(
    gateway: Gateway, vendors: Vendors
) -> None:
    vendors.faults["free"] = done_and_held_open()
    async with impatient_client(gateway) as client:
        for _ in range(2):
            answer = await client.post("/v1/chat/completions", json=asked("open-first", "free", stream=True))
            assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("company", ["alone", "backed"])
@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_waits_for_ever_behind_an_interim_answer(
    gateway: Gateway, vendors: Vendors, vendor: FakeVendor, company: str, *, stream: bool
) -> None:
    """Envoy asks nobody else after one."""
    prompt = f"interim, {company}, {stream}"
    vendors.faults[prompt] = interim_and_silent()
    seen = await ask(gateway, vendors, f"{company}-first", prompt, stream=stream)
    assert str(seen) == "504 `upstream_timeout`; first; 504 none"
    await let_go(vendor, prompt)


@pytest.mark.parametrize("name", ["stall", "error after content", "end without a finish"])
async def test_of_a_vendor_never_asked_before_every_fault_is_told_too(
    gateway: Gateway, vendors: Vendors, name: str
) -> None:
    """Its streams may have to end before it ends them: they are relayed."""
    prompt = f"{name}, fresh"
    vendors.faults[prompt] = FAULTS[name]()
    seen = await ask(gateway, vendors, "fresh-first", prompt, stream=True)
    assert f"| {name} | streamed | {seen} |" in DOCUMENT.read_text("utf-8")


async def test_a_vendor_that_was_not_known_to_keep_streams_open_breaks_off_one_that_is_whole(
    gateway: Gateway, vendors: Vendors, vendor: FakeVendor
) -> None:
    """The next one is expected to be kept open."""
    vendors.faults["kept open"] = done_and_held_open()
    for seconds in (0.0, 0.8 * PATIENCE):  # to be late is no reason
        vendors.faults["ended"] = done_and_ended_after(seconds)
        assert (await ask(gateway, vendors, "open-first", "ended", stream=True)).client == "answered"
    async with impatient_client(gateway) as client:
        text, broken = b"", False
        body = asked("open-first", "kept open", stream=True)
        async with client.stream("POST", "/v1/chat/completions", json=body, timeout=15) as answer:
            try:
                async for piece in answer.aiter_bytes():
                    text += piece
            except httpx.RemoteProtocolError:
                broken = True
    assert text.endswith(b"data: [DONE]\n\n")
    assert b'"error"' not in text
    assert broken
    assert _recorded(await gateway.record_of(answer)) == "200 provider"
    await let_go(vendor, "kept open")
    vendors.faults["kept open again"] = done_and_held_open()
    assert (await ask(gateway, vendors, "open-first", "kept open again", stream=True)).client == "answered"


async def test_what_another_vendor_made_good_is_billed_as_that_one_counted_it(
    gateway: Gateway, vendors: Vendors
) -> None:
    vendors.faults["cut at once"] = cut_at_once()
    answers = []
    async with impatient_client(gateway) as client:
        for _ in range(40):
            # Some are cut after the client has content: those cannot be made good.
            with suppress(httpx.RemoteProtocolError):
                answers.append(
                    await client.post("/v1/chat/completions", json=asked("backed-first", "cut at once", stream=True))
                )
    assert answers
    records = [await gateway.record_of(answer) for answer in answers]
    assert {_recorded(record) for record in records} == {"200 provider, 1 failed"}


DOUBLE_FAULTS = {
    "reset, reset": (Reply.reset(), Reply.reset()),
    "black hole, reset": (Reply.never(), Reply.reset()),
    "503, reset": (openai_error(503, "busy"), Reply.reset()),
}


@pytest.mark.parametrize("name", DOUBLE_FAULTS)
async def test_where_envoy_answers_the_record_says_why_and_who_failed_before(
    gateway: Gateway, vendors: Vendors, name: str
) -> None:
    answers = iter(DOUBLE_FAULTS[name])
    vendors.faults[name] = both(lambda _: next(answers))
    async with impatient_client(gateway) as client:
        answer = await client.post("/v1/chat/completions", json=asked("first-first", name))
    record = await gateway.record_of(answer)
    assert record["error"] == answer.json()["error"]["code"]
    assert [attempt["target"] for attempt in json.loads(record["failed_attempts"])] == ["first/a"]


@pytest.mark.parametrize("name", UNREACHABLE)
async def test_who_failed_before_one_that_cannot_be_reached_is_told(
    gateway: Gateway, vendors: Vendors, name: str
) -> None:
    vendors.faults[f"then {name}"] = both(openai_error(529, "busy", code="busy"))
    async with impatient_client(gateway) as client:
        answer = await client.post(
            "/v1/chat/completions", json=asked(f"first-{name.replace(' ', '-')}", f"then {name}")
        )
    record = await gateway.record_of(answer)
    assert record["error"] == answer.json()["error"]["code"] == answer.headers["x-gateway-error"]
    (failed,) = json.loads(record["failed_attempts"])
    assert (failed["target"], failed["status"], failed["error"]) == ("first/a", 529, "busy")


@pytest.mark.parametrize("reply", [Reply.reset(), openai_error(503, "busy")], ids=["reset", "503"])
async def test_behind_a_host_that_is_not_found_attempts_fail_over_as_elsewhere(
    gateway: Gateway, vendors: Vendors, reply: Reply
) -> None:
    vendors.faults["behind"] = both(reply)
    async with impatient_client(gateway) as client:
        answer = await client.post("/v1/chat/completions", json=asked("unknown-first-second", "behind"))
        assert (answer.status_code, answer.headers["x-gateway-target"]) == (200, "second/c")
        failed = json.loads((await gateway.record_of(answer))["failed_attempts"])
        assert [attempt["target"] for attempt in failed] == ["unknown-host/a", "first/b"]
        answer = await client.post("/v1/chat/completions", json=asked("unknown-first", "behind"))
        assert answer.status_code == 503
        (missed,) = json.loads((await gateway.record_of(answer))["failed_attempts"])
        assert missed["target"] == "unknown-host/a"


async def test_a_client_that_left_was_told_no_error_and_the_attempt_it_left_has_not_failed(
    gateway: Gateway, vendors: Vendors
) -> None:
    answers = iter((openai_error(503, "busy"), Reply.never()))
    vendors.faults["left"] = both(lambda _: next(answers))
    async with impatient_client(gateway) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/chat/completions", json=asked("first-first", "left"), timeout=PATIENCE / 2)
    record = await until(
        lambda: next((found for found in gateway.records() if found["status"] == 0), None), what="its record"
    )
    assert (record["error"], record["attempts"], record["usage_source"]) == ("", 2, "partial")
    assert [attempt["target"] for attempt in json.loads(record["failed_attempts"])] == ["first/a"]


def asked(model: str, prompt: str, *, stream: bool = False) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}


def impatient_client(gateway: Gateway) -> httpx.AsyncClient:
    """One connection, on which nothing takes much longer than the limits."""
    limits = httpx.Limits(max_connections=1)
    return httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers, timeout=3 * PATIENCE, limits=limits)


async def let_go(vendor: FakeVendor, prompt: str) -> None:
    """Wait until the vendor has lost the connection on which it was asked this."""

    def is_left() -> bool:
        return any(left.request.json()["messages"][0]["content"] == prompt for left in vendor.disconnects)

    await vendor.until(is_left, within=2 * PATIENCE, what="the vendor to be let go")
