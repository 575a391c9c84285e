"""A processor in the test's own process, on a Unix socket, and Envoy's half of the conversation."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from processor import app
from processor.accounting.observations import ObservationLog
from processor.extproc.server import start
from processor.ports import Call, Reply
from processor.state import State
from processor.vendors import VENDORS
from processor.wire.json import decode
from processor.worker import Worker
from tests.extproc.envoy import Envoy, connected
from tests.support.golden import GoldenCall, golden_providers

KEY = "sk-extproc"
NARROW_KEY = "sk-extproc-narrow"


class ScriptedCaller:
    """Answers an exchange's further calls from a golden case."""

    def __init__(self) -> None:
        self.left: list[GoldenCall] = []
        self.sent: list[Call] = []

    async def send(self, call: Call) -> Reply:
        self.sent.append(call)
        for expected in self.left:
            if self._fits(call, expected):
                self.left.remove(expected)
                return Reply(expected.answer.status, expected.answer.body)
        raise AssertionError(f"the case knows no call like {call}")

    def _fits(self, call: Call, expected: GoldenCall) -> bool:
        if expected.upstream is None:
            return f"{call.cluster.removeprefix('fetch/')}://{call.host}{call.path}" == expected.fetch
        sent = (call.method, call.path, decode(call.body) if call.body else None)
        return sent == (expected.upstream.method, expected.upstream.path, expected.upstream.body)


@pytest.fixture(scope="session")
def caller() -> ScriptedCaller:
    return ScriptedCaller()


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    state = State(tmp_path_factory.mktemp("extproc"))
    state.create()
    return state


@pytest_asyncio.fixture(scope="session")
async def envoy(state: State, caller: ScriptedCaller) -> AsyncIterator[Envoy]:
    homes = {name: "" if vendor.origin else ", base_url: https://account.example" for name, vendor in VENDORS.items()}
    providers = "\n".join(f"  {name}: {{api_key: ${{VENDOR_KEY}}{home}}}" for name, home in homes.items())
    config = state.folder / "gateway.yaml"
    config.write_text(f"""
providers:
{providers}
{golden_providers("https://house.example")}
circuit: {{failures: 0}}
models:
  two:
    targets: [{{provider: deepseek, model: a}}, {{provider: moonshot, model: b}}]
    retry: {{ttft: 200ms}}
keys:
  - {{name: tests, sha256: {hashlib.sha256(KEY.encode()).hexdigest()}}}
  - {{name: narrow, sha256: {hashlib.sha256(NARROW_KEY.encode()).hexdigest()}, models: ["deepseek/*"]}}
""")
    setup = app.load(config, state, {"VENDOR_KEY": "sk-vendor"})
    observations = ObservationLog(state.observed)
    server = await start(Worker.of(setup.config, setup.topology).servicer(observations, caller), state.worker_socket(0))
    async with connected(state.worker_socket(0)) as channel:
        yield channel
    await server.stop(0)
    observations.close()


@pytest.fixture
def observed(state: State) -> Path:
    return state.observed
