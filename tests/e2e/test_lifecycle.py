"""Starting, stopping, and what happens when a part of the gateway dies."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import openai
import pytest
import pytest_asyncio

from tests.e2e.conftest import configuration
from tests.support.fake_vendor import FakeVendor, Reply, chat_chunks
from tests.support.gateway import Gateway, free_port, until, until_async

ASKED = [{"role": "user", "content": "Hello"}]


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway as `make run` starts it: no configuration, no keys."""
    async with Gateway(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def own(vendor: FakeVendor, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway of the test's own, to be killed."""
    async with Gateway(tmp_path, configuration(vendor)) as running:
        yield running


async def test_without_configuration_the_printed_lines_work(demo: Gateway) -> None:
    banner = demo.log.read_text()
    assert f"{demo.url}/v1" in banner
    assert demo.key in banner
    lines = re.findall(r"^  (curl .*)$", banner, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        run = await asyncio.to_thread(subprocess.run, line + " -sS", shell=True, capture_output=True, text=True)
        assert "demo vendor" in run.stdout.replace('"},', "") or '"content":" demo"' in run.stdout, run
        assert '"system_fingerprint":"demo"' in run.stdout
    records = await demo.wait_for_records(3)
    assert {record["mode"] for record in records} == {"openai", "passthrough"}
    assert all(record["usage_source"] == "provider" for record in records)


async def test_a_key_in_the_environment_switches_its_vendor_on(tmp_path: Path) -> None:
    async with Gateway(tmp_path, environ={"DEEPSEEK_API_KEY": "sk-real"}) as gateway:
        sdk = openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.key)
        listed = [model.id async for model in sdk.models.list()]
        await sdk.close()
    assert "deepseek/deepseek-chat" in listed
    assert "demo/demo-chat" in listed
    assert not [name for name in listed if name.startswith("moonshot/")]


async def test_the_key_stays_the_same_over_a_restart(demo: Gateway) -> None:
    key = demo.key
    await demo.stop()
    await demo.start()
    assert demo.key == key


async def test_records_may_go_to_a_file_of_json_lines(vendor: FakeVendor, tmp_path: Path) -> None:
    async with Gateway(tmp_path, configuration(vendor) + "usage: {sink: jsonl, path: mine.jsonl}\n") as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, headers=gateway.headers) as client:
            for path in ("/v1/chat/completions", "/deepseek/chat/completions"):
                await client.post(path, json={"model": "chat", "messages": ASKED})
        await gateway.stop()
    lines = [json.loads(line) for line in (tmp_path / "mine.jsonl").read_text().splitlines()]
    assert [(line["mode"], line["usage"]["input_tokens"]) for line in lines] == [("openai", 1), ("passthrough", 1)]
    assert vendor.count == 2


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_streams_finish_and_leaves_no_process_behind(
    own: Gateway, vendor: FakeVendor, name: signal.Signals
) -> None:
    go_on = asyncio.Event()
    first, second, *rest = chat_chunks(["one", "two"])
    vendor.script(None, Reply.sse([first, second, go_on, *rest, "[DONE]"]))
    async with httpx.AsyncClient(base_url=own.url, headers=own.headers, timeout=20) as client:
        body = {"model": "chat", "messages": ASKED, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            assert own.process is not None
            own.process.send_signal(name)
            await until(lambda: not listens(own.port), what="the listener closed")
            go_on.set()
            received = [line async for line in lines]
    assert "data: [DONE]" in received
    assert await asyncio.wait_for(own.process.wait(), 15) == 0
    assert own.pids() == []
    [record] = own.records()
    assert (record["status"], record["usage_source"]) == (200, "provider")


async def test_the_drain_has_a_limit_and_a_second_signal_cuts_it(own: Gateway, vendor: FakeVendor) -> None:
    vendor.script(None, Reply.sse([*chat_chunks(["one"])[:2], 60.0]))
    async with httpx.AsyncClient(base_url=own.url, headers=own.headers, timeout=20) as client:
        body = {"model": "chat", "messages": ASKED, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            await anext(answer.aiter_lines())
            assert own.process is not None
            own.process.send_signal(signal.SIGINT)
            await until(lambda: not listens(own.port), what="the listener closed")
            own.process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(own.process.wait(), 8) == 0
    assert own.pids() == []


async def test_no_process_survives_a_killed_supervisor(own: Gateway) -> None:
    assert own.process is not None
    assert len(own.pids()) >= 4
    own.process.kill()
    await own.process.wait()
    await until(lambda: not own.pids(), what="all processes gone")


async def test_a_killed_worker_is_restarted_while_envoy_stays_up(own: Gateway, vendor: FakeVendor) -> None:
    [envoy] = own.pids("envoy.yaml")
    workers = own.pids("processor worker")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    async with httpx.AsyncClient(base_url=own.url, headers=own.headers) as client:

        async def answers() -> bool:
            answer = await client.post("/v1/chat/completions", json={"model": "chat", "messages": ASKED})
            if answer.status_code == 503:
                assert answer.json()["error"]["code"] == "gateway_unavailable"
            return answer.status_code == 200

        await until_async(answers, what="an answer after the kill")
    assert own.pids("envoy.yaml") == [envoy]
    assert not set(own.pids("processor worker")) & set(workers)
    assert vendor.count >= 1


async def test_passthrough_goes_on_while_the_processor_is_down(own: Gateway, vendor: FakeVendor) -> None:
    for pid in own.pids("processor worker"):
        os.kill(pid, signal.SIGSTOP)  # down, and not restarted
    async with httpx.AsyncClient(base_url=own.url, timeout=8) as client:
        for _ in range(20):
            answer = await client.post("/deepseek/chat/completions", json={"model": "m", "messages": ASKED})
            assert answer.status_code == 200
        for pid in own.pids("processor worker"):
            os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            answer = await client.post("/deepseek/chat/completions", json={"model": "m", "messages": ASKED})
            assert answer.status_code == 200
    assert vendor.count == 40
    records = await own.wait_for_records(40)
    assert len(records) == 40, "recorded all the same, with what Envoy knew"


async def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = await asyncio.to_thread(up, tmp_path, port)
    assert run.returncode == 2
    assert run.stdout == ""
    [line] = run.stderr.splitlines()
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


async def test_an_envoy_that_refuses_its_file_is_told_in_its_own_words(tmp_path: Path) -> None:
    broken = Path(__file__).parents[2] / "envoy" / "envoy.yaml"
    file = tmp_path / "envoy.yaml"
    file.write_text(broken.read_text().replace("stat_prefix: gateway", "stat_prefixes: gateway"))
    run = await asyncio.to_thread(up, tmp_path, free_port(), "--envoy", str(file))
    assert run.returncode == 1
    assert "stat_prefixes" in run.stderr


def up(folder: Path, port: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "processor", "up", "--port", str(port), "--state", str(folder / "s"), *options)
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
