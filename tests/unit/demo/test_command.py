"""The demo vendor as the process the gateway starts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from processor.wire.json import encode

COMMAND = (sys.executable, "-m", "processor.demo")
START_WITHIN = 20.0  # seconds; it takes 0.2 on a quiet machine
STOP_WITHIN = 5.0  # seconds; it takes 0.4

START_AND_WAIT = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-m', 'processor.demo', '--port', '0', '--delay-ms', '3600000'])\n"
    "child.wait()\n"
)


@contextlib.asynccontextmanager
async def started(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def port_of(process: asyncio.subprocess.Process) -> int:
    assert process.stdout
    line = (await asyncio.wait_for(process.stdout.readline(), START_WITHIN)).decode()
    assert line.startswith("demo vendor on http://127.0.0.1:")
    return int(line.rpartition(":")[2])


async def open_stream(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream whose first chunk has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = encode({"messages": [{"role": "user", "content": "Hello"}], "stream": True})
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: demo\r\ncontent-length: %d\r\n\r\n" % len(body))
    writer.write(body)
    await asyncio.wait_for(reader.readuntil(b'"role":"assistant"'), START_WITHIN)
    return reader, writer


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_the_middle_of_a_stream(name: signal.Signals) -> None:
    async with started(*COMMAND, "--port", "0", "--delay-ms", "3600000") as process:
        reader, writer = await open_stream(await port_of(process))
        process.send_signal(name)
        out, err = await asyncio.wait_for(process.communicate(), STOP_WITHIN)
        assert (process.returncode, out, err) == (0, b"", b"")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has gone")
async def test_it_ends_with_its_parent() -> None:
    async with started(sys.executable, "-c", START_AND_WAIT) as parent:
        reader, writer = await open_stream(await port_of(parent))
        parent.kill()
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), STOP_WITHIN)
        writer.close()


async def test_on_a_unix_socket_it_is_silent_and_leaves_no_file_behind(tmp_path: Path) -> None:
    path = tmp_path / "demo.sock"
    async with started(*COMMAND, "--socket", str(path)) as process:
        async with asyncio.timeout(START_WITHIN):
            reader, writer = await connect(path)
        writer.write(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert b"demo-chat" in await asyncio.wait_for(reader.read(), STOP_WITHIN)
        writer.close()
        process.terminate()
        out, err = await asyncio.wait_for(process.communicate(), STOP_WITHIN)
        assert (process.returncode, out, err) == (0, b"", b"")
        assert gone(path)


def gone(path: Path) -> bool:
    return not path.exists()


async def connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(0.01)


async def test_it_must_be_told_where_to_listen() -> None:
    async with started(*COMMAND) as process:
        _, err = await asyncio.wait_for(process.communicate(), START_WITHIN)
        assert process.returncode == 2
        assert b"--socket" in err
