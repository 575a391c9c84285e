"""A real gateway for tests: `python -m processor up` on a free port, in a folder of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")

KEY = "sk-test-of-a-gateway"
KEY_SHA256 = hashlib.sha256(KEY.encode()).hexdigest()
VENDOR_KEY = "sk-test-of-a-vendor"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], T | None], *, within: float = 15.0, what: str = "") -> T:
    """Wait until a condition gives something true, and return that."""

    async def ask() -> T | None:
        return condition()

    return await until_async(ask, within=within, what=what)


async def until_async(condition: Callable[[], Awaitable[T | None]], *, within: float = 15.0, what: str = "") -> T:
    """The same for a condition that has to be awaited."""
    deadline = asyncio.get_running_loop().time() + within
    while not (value := await condition()):
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"not within {within} s: {what or condition}")
        await asyncio.sleep(0.02)
    return value


@dataclass(slots=True)
class Gateway:
    """A running gateway. Its output is shown only when it does not start."""

    folder: Path
    config: str | None = None
    """The text of gateway.yaml; None for the embedded defaults."""
    environ: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "up.log"

    @property
    def key(self) -> str:
        return KEY if self.config else (self.state / "key").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        options = ["--port", str(self.port), "--state", str(self.state), *self.arguments]
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.config is not None:
            file = self.folder / "gateway.yaml"
            file.write_text(self.config)
            options += ["--config", str(file)]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "processor", "up", *options),
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "VENDOR_KEY": VENDOR_KEY, **self.environ},
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await until(self._started, within=30, what="the gateway's banner")
        except (TimeoutError, AssertionError):
            print(self.log.read_text())
            await self.stop()
            raise

    def _started(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, "the gateway ended"
        return "The gateway is running." in self.log.read_text()

    async def stop(self, *, within: float = 40) -> int:
        """Stop it as a user does; its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), within)

    def pids(self, *words: str) -> list[int]:
        """The gateway's processes whose command line holds all of these words."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(self.state) in line and all(word in line for word in words):
                found.append(int(entry.name))
        return found

    def records(self) -> list[dict[str, Any]]:
        """Every usage record so far, in the order of arrival."""
        path = self.state / "usage.db"
        if not path.exists():
            return []
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
            db.row_factory = sqlite3.Row
            try:
                rows = [dict(row) for row in db.execute("SELECT * FROM usage ORDER BY time")]
            except sqlite3.OperationalError:  # the recorder has not made its table yet
                return []
        db.close()
        return rows

    async def wait_for_records(self, count: int, *, within: float = 20) -> list[dict[str, Any]]:
        """The records, once there are at least `count`."""
        await until(lambda: len(self.records()) >= count, within=within, what=f"{count} usage records")
        return self.records()

    async def record_of(self, answer: httpx.Response, *, within: float = 20) -> dict[str, Any]:
        """The record of an answer's request, whatever others come before it."""
        request_id = answer.headers["x-request-id"]
        return await until(
            lambda: next((found for found in self.records() if found["request_id"] == request_id), None),
            within=within,
            what=f"the record of {request_id}",
        )

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """GET a JSON answer: status and body."""
        return await asyncio.to_thread(self._get, path, headers)

    def _get(self, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.url + path, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
